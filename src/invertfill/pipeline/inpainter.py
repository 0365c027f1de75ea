"""Picture + mask -> filled picture. The one place that keeps the hard constraint: known pixels stay byte for byte."""

from __future__ import annotations

import warnings
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import groupby, islice
from pathlib import Path

import numpy as np
from PIL import Image

from invertfill.engines import Engine, latent_of, open_engine
from invertfill.errors import InputError, InvertFillWarning
from invertfill.imaging.colour import from_srgb, to_srgb
from invertfill.imaging.io import FileSource, ImageSource, open_image
from invertfill.imaging.masks import MaskSource, mask_from_transparency, read_mask
from invertfill.imaging.sixteen_bit import LOW, low_of
from invertfill.pipeline.blending import BLENDS
from invertfill.pipeline.crops import Box, Crop, bounds, cut, find_crops, is_nearly_square, put_back
from invertfill.pipeline.detail import put_back_with_detail
from invertfill.pipeline.domain_prior import DomainPrior
from invertfill.pipeline.outpainting import Margins, extend
from invertfill.pipeline.selection import ModelSelector
from invertfill.registry import AUTO, DOMAIN, Model, find_models


def open_inpainter(
    model: str | Path,
    engine: str = "auto",
    device: str = "auto",
    quality: str = "fast",
    context: float | None = None,
    threads: int = 0,
    stays: bool = False,
) -> Inpainter:
    """Open what `invertfill.registry.find_models` finds; `invertfill.load` says what is accepted.

    Args:
        threads, stays: see `invertfill.engines.open_engine`.
    """
    models = find_models(model)
    engines = {found.name: open_engine(found, engine, device, quality, threads, stays) for found in models}
    chooser = None
    if model == AUTO:
        domains = {found.name: DomainPrior.load(found.folder / DOMAIN) for found in models if isinstance(found, Model)}
        chooser = ModelSelector(engines, domains, [found.name for found in models if found.aligned])
    return Inpainter(next(iter(engines.values())), chooser, quality, context)


class Inpainter:
    """A model, or several to choose from for each picture, ready to fill holes. Made by `invertfill.load`.

    Args:
        engine: a loaded model.
        chooser: of the model for each picture; then the engine, one of its own, is for `sample` alone.
        quality: "fast" or "best" (see `invertfill.load`).
        context: see `invertfill.pipeline.crops.find_crops`.
    """

    def __init__(
        self, engine: Engine, chooser: ModelSelector | None = None, quality: str = "fast", context: float | None = None
    ) -> None:
        self.engine = engine
        self.chooser = chooser
        self.quality = quality
        self.context = context

    def fill(
        self, image: ImageSource, mask: MaskSource | None = None, *, seed: int = 0, invert_mask: bool = False
    ) -> Image.Image:
        """Fill the holes of one picture.

        Args:
            image: a path, a PIL image, or an array (H, W[, 3 or 4]) uint8 or float 0..1; any size.
            mask: the same kinds, of the picture's size, white (or True) = hole. None: the hole is where the picture is
                fully transparent.
            seed: 0 fills from the long-run mean latent, or from the likeliest one where the model guesses it; any other
                seed draws a latent of its own, as in training, and gives another fill. The same seed gives the same
                picture.
            invert_mask: white is known instead.

        Returns:
            A new picture of the same size and mode; every pixel outside the hole is as it was, byte for byte, and the
            hole is opaque.

        Raises:
            InputError: a picture or mask that can't be read, or of which the sizes differ.

        Warns:
            InvertFillWarning: there is no hole (the result is a copy), or nothing is known; where models are tried,
                which one was chosen and why.
        """
        return next(self.fill_many([(image, mask)], seed=seed, invert_mask=invert_mask))

    def fill_samples(
        self,
        image: ImageSource,
        mask: MaskSource | None = None,
        count: int = 4,
        *,
        seed: int = 0,
        invert_mask: bool = False,
        batch: int = 8,
    ) -> Iterator[Image.Image]:
        """Fill the holes of one picture in several different ways; see `fill`.

        The style code is the encoder's offset from a mean latent. Another mean latent, a mean of a few mapped z as in
        training (Sec. 3.2), moves it to another person or place that the known pixels allow; other noise, where the
        model has such, draws other texture.

        Args:
            count: how many.
            seed: of the first; each following one is one higher. Where it is 0, the first is what `fill` gives.
            batch: so many holes go through the model at once.

        Yields:
            `count` pictures, one for each seed: what `fill` gives for it.

        Raises:
            InputError: as `fill`.
        """
        job = self._prepare(image, mask, invert_mask, seed)
        jobs = [replace(job, seed=seed + i) for i in range(count)]
        outputs = _run(jobs, batch, self.quality)
        for one in jobs:
            yield _composite(replace(one, picture=_copy(job.picture)), outputs)

    def fill_many(
        self,
        pairs: Iterable[tuple[ImageSource, MaskSource | None]],
        *,
        seed: int = 0,
        invert_mask: bool = False,
        batch: int = 8,
    ) -> Iterator[Image.Image]:
        """Fill many pictures, in order; see `fill`.

        Args:
            pairs: picture and mask of each.
            seed: of each.
            invert_mask: of each.
            batch: so many go through the model at once, and are in memory at once.

        Yields:
            The filled pictures. Where one can't be read, those before it come first.
        """
        remaining = iter(pairs)
        while True:
            jobs: list[_Job] = []
            bad: InputError | None = None
            try:
                for image, mask in islice(remaining, batch):
                    jobs.append(self._prepare(image, mask, invert_mask, seed))
            except InputError as error:
                bad = error
            outputs = _run(jobs, batch, self.quality)
            for job in jobs:
                yield _composite(job, outputs)
            if bad:
                raise bad
            if len(jobs) < batch:
                return

    def outpaint(
        self, image: ImageSource, *, left: int = 0, top: int = 0, right: int = 0, bottom: int = 0, seed: int = 0
    ) -> Image.Image:
        """Draw what lies beyond a picture's sides.

        Args:
            image: as in `fill`; a hole that is already there (transparent) stays one.
            left, top, right, bottom: pixels to add. Far ones are drawn in steps, each over what the last has made.
            seed: as in `fill`.

        Returns:
            A new picture of the larger size; the given one lies in it as it was, byte for byte.

        Raises:
            InputError: a picture that can't be read, or a negative number.
        """
        picture = open_image(image)
        inpainter = self
        for margins in Margins(left, top, right, bottom).steps(*picture.size):
            canvas, hole = extend(picture, margins)
            if inpainter.chooser:  # one model for all steps
                engine = self._choose(canvas, self._pieces(canvas, hole, self.engine.size), _name(image))
                inpainter = Inpainter(engine, None, self.quality, self.context)
            picture = inpainter.fill(canvas, hole, seed=seed)
        return picture

    def sample(self, seeds: Sequence[int], truncation: float = 0.7) -> list[Image.Image]:
        """Draw what the generator knows.

        Args:
            seeds: one picture each.
            truncation: psi: w = w_mean + psi * (mapping(z) - w_mean); 1 is as varied as training, 0 the mean picture.
        """
        pictures = []
        for seed in seeds:
            z = np.random.default_rng(seed).standard_normal((1, self.engine.z_dim), np.float32)
            w = self.engine.w_mean + truncation * (self.engine.mapping(z) - self.engine.w_mean)
            pixels = self.engine.synthesis(w)[0].transpose(1, 2, 0).clip(-1, 1)
            pictures.append(Image.fromarray(((pixels + 1) * 127.5).round().astype(np.uint8)))
        return pictures

    def _prepare(self, image: ImageSource, mask: MaskSource | None, invert_mask: bool, seed: int) -> _Job:
        picture = open_image(image)
        hole = _read_hole(picture, mask, _name(image), invert_mask)
        if not hole.any():
            warnings.warn(f"{_name(image)}: no hole; the result is a copy", InvertFillWarning, stacklevel=4)
        elif hole.all():
            message = f"{_name(image)}: everything is a hole, so nothing is known; filled from the mean latent"
            warnings.warn(message, InvertFillWarning, stacklevel=4)
        pieces = self._pieces(picture, hole, self.engine.size)
        engine = self._choose(picture, pieces, _name(image))
        if engine.size != self.engine.size:
            pieces = self._pieces(picture, hole, engine.size)
        return _Job(picture, engine, pieces, seed)

    def _pieces(self, picture: Image.Image, hole: np.ndarray, size: int) -> list[_Piece]:
        return [_piece(picture, hole, region, size) for region in find_crops(hole, size, self.context)]

    def _choose(self, picture: Image.Image, pieces: Sequence[_Piece], name: str) -> Engine:
        """The engine for one picture; says so where there was a choice."""
        if self.chooser is None or not pieces:
            return self.engine
        seen, masks = np.stack([piece.seen for piece in pieces]), np.stack([piece.seen_mask for piece in pieces])
        whole = pieces[0].box == (0, 0, *picture.size) and is_nearly_square(*picture.size)
        chosen, why = self.chooser.choose(seen, masks, whole)
        warnings.warn(f"{name}: {why}", InvertFillWarning, stacklevel=5)
        return self.chooser.engines[chosen]


def show_hole(
    image: ImageSource, mask: MaskSource | None = None, invert_mask: bool = False, colour: str = "white"
) -> Image.Image:
    """RGB: a picture with its hole in one colour; arguments and errors as of `Inpainter.fill`."""
    picture = open_image(image, notes=False)
    hole = Image.fromarray(_read_hole(picture, mask, _name(image), invert_mask))
    return Image.composite(Image.new("RGB", picture.size, colour), to_srgb(picture), hole)


@dataclass(frozen=True)
class _Piece:
    """What lies inside the picture of one region around holes.

    Attributes:
        box: left, top, right, bottom in the picture.
        hole: (h, w) bool.
        rgb: (h, w, 3) uint8, sRGB.
        region: the region, in the piece's own coordinates.
        seen, seen_mask: what the model sees of it, from `cut`.
    """

    box: Box
    hole: np.ndarray
    rgb: np.ndarray
    region: Crop
    seen: np.ndarray
    seen_mask: np.ndarray


@dataclass(frozen=True)
class _Job:
    picture: Image.Image
    engine: Engine
    pieces: list[_Piece]
    seed: int


def _name(image: ImageSource) -> str:
    """For messages."""
    return str(image) if isinstance(image, FileSource) else "image"


def _run(jobs: Sequence[_Job], batch: int, quality: str) -> Iterator[np.ndarray]:
    """O_G of each piece, its border matched, (3, s, s); `batch` of one engine at once."""
    for _, group in groupby(jobs, lambda job: id(job.engine)):
        same = list(group)
        engine = same[0].engine
        anchors = {seed: (latent_of(engine, seed), _noise(engine, seed)) for seed in {job.seed for job in same}}
        pieces = [(piece, anchors[job.seed]) for job in same for piece in job.pieces]
        for start in range(0, len(pieces), batch):
            part = pieces[start : start + batch]
            image, mask = np.stack([piece.seen for piece, _ in part]), np.stack([piece.seen_mask for piece, _ in part])
            latents = np.concatenate([latent for _, (latent, _) in part])
            noise = [own for _, (_, own) in part if own is not None]
            outputs = engine.fill(image, mask, latents, quality, np.stack(noise) if noise else None)
            for i, output in enumerate(outputs):
                if not mask[i].all():
                    yield BLENDS[engine.blend](output, image[i], mask[i])
                elif engine.guesses_z:  # of nothing, too
                    yield output
                else:
                    yield engine.synthesis(latents[i : i + 1])[0]


def _noise(engine: Engine, seed: int) -> np.ndarray | None:
    """What texture is drawn from, (1, s, s), where the engine's model has such noise."""
    if seed == 0 or engine.noise is None:
        return engine.noise
    return np.random.default_rng([seed, 1]).standard_normal(engine.noise.shape, np.float32)


def _piece(picture: Image.Image, hole: np.ndarray, region: Crop, size: int) -> _Piece:
    left, top, right, bottom = box = region.inside(*picture.size)
    part = picture.crop(box)
    part.info = picture.info
    rgb, inside = np.asarray(to_srgb(part)), hole[top:bottom, left:right]
    region = Crop(region.x - left, region.y - top, region.side)
    return _Piece(box, inside, rgb, region, *cut(rgb, inside, region, size))


def _copy(picture: Image.Image) -> Image.Image:
    copy = picture.copy()
    if (low := low_of(picture)) is not None:
        copy.info[LOW] = low.copy()
    return copy


def _read_hole(picture: Image.Image, mask: MaskSource | None, name: str, invert: bool) -> np.ndarray:
    """(H, W) bool."""
    if mask is not None:
        return read_mask(mask, picture.size, invert=invert)
    transparent = mask_from_transparency(picture)
    if transparent is None:
        raise InputError(
            f"{name}: no mask given and no transparency; accepted: a mask, or an image with transparent holes"
        )
    return transparent


def _composite(job: _Job, outputs: Iterator[np.ndarray]) -> Image.Image:
    """O = I * (1 - M) + O_G * M in the picture's own mode, so that known pixels never pass through a conversion.

    The job's picture itself is changed and returned, hole by hole: a second one would take as much memory again.
    """
    picture, low = job.picture, low_of(job.picture)
    for piece in job.pieces:
        where = piece.rgb, piece.hole, piece.region
        output = next(outputs)
        enlarged = piece.region.side > output.shape[-1]
        filled = put_back_with_detail(*where, output, piece.seen_mask) if enlarged else put_back(*where, output)
        left, top, right, bottom = bounds(piece.hole)
        inside = np.s_[top:bottom, left:right]
        hole = piece.hole[inside]
        content = np.asarray(from_srgb(Image.fromarray(filled[inside]), picture))  # with alpha: opaque
        if picture.mode == "I;16":
            content = content.astype(np.uint16) * 257
        x, y = piece.box[:2]
        box = x + left, y + top, x + right, y + bottom
        part = np.array(picture.crop(box))
        part[hole] = content[hole]
        picture.paste(Image.fromarray(part, "CMYK") if picture.mode == "CMYK" else Image.fromarray(part), box)
        if low is not None:
            low[box[1] : box[3], box[0] : box[2]][hole] = content[hole]  # 16 bits: 257 times the 8
    return picture
