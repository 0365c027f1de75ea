"""Picture + mask -> filled picture. The one place that keeps the hard constraint: known pixels stay byte for byte."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import groupby, islice
from time import perf_counter
from typing import Any

import numpy as np
from PIL import Image

from invertfill.engines import Engines
from invertfill.engines.base import CropRequest, Engine, latent_of, noise_of
from invertfill.engines.base import name_of as name_of_engine
from invertfill.errors import InputError
from invertfill.imaging.colour import from_srgb, to_srgb
from invertfill.imaging.depth import SAMPLES, is_beside, missing, part_of, put_part, refresh, samples_of
from invertfill.imaging.frames import Reader, read_frames
from invertfill.imaging.masks import MaskSource
from invertfill.imaging.palette import restored
from invertfill.imaging.reading import open_image
from invertfill.imaging.sources import ImageSource, name_of, settle
from invertfill.notes import Note, Notes, silent
from invertfill.options import AUTO, DEFAULTS, OF_HOLE, FillOptions
from invertfill.pipeline.blending import BLENDS
from invertfill.pipeline.crops import Box, Crop, bounds, cut, enlarge, find_compact_crops, is_nearly_square, put_back
from invertfill.pipeline.detail import put_back_with_detail
from invertfill.pipeline.domain_prior import DomainPrior
from invertfill.pipeline.face_detector import SIZE as FACE_SIZE
from invertfill.pipeline.faces import find_portraits, in_head, is_portrait
from invertfill.pipeline.feather import Feather, pixels_in
from invertfill.pipeline.flat import NEAR, few_colours, fill_one_colour, nearest, visible
from invertfill.pipeline.frames import fill_frames
from invertfill.pipeline.grain import add_grain
from invertfill.pipeline.holes import read_hole, why_none
from invertfill.pipeline.levels import Levels, between_steps
from invertfill.pipeline.outpainting import extend, parse_margins
from invertfill.pipeline.result import FillResult
from invertfill.pipeline.squares import Square, Turned
from invertfill.pipeline.thin import find_crops, is_thin
from invertfill.pipeline.transparency import alpha_of, continued, erased, greatest, opaque_in, over
from invertfill.registry import DOMAIN, PATCHMATCH, ModelInfo, find_models

PRIOR_SIZE = 256  # pixels a side, at which a whole picture is looked at
REDUCED = 1.5  # a picture that is so many times larger than a model is left to a larger one
NEARER = 0.01  # nats per value: by so much must a picture be nearer to the smaller model's domain
LARGE = 1024  # pixels a side are enough to tell whether colours are few
LEAST = 64  # of these have to be known to tell whose it is
BATCH = 8  # holes that go through a model at once, and pictures in memory at once


def open_inpainter(options: FillOptions, threads: int = 0, stays: bool = False) -> Inpainter:
    """Open what `invertfill.registry.find_models` finds for `options.model`; `invertfill.load` says what is accepted.

    Args:
        options: the inpainter's.
        threads, stays: see `invertfill.engines.open_engine`. For a process that stays, all models are loaded now.
    """
    models = find_models(options.model)
    engines = Engines(models, options, threads, stays)
    if stays or len(models) == 1:
        for name in engines:
            engines[name]
    if options.model != AUTO:
        return Inpainter(engines, options)
    portraits = next((model.name for model in models[1:] if model.aligned), "")
    priors = {model.name: DomainPrior.load(model.file(DOMAIN)) for model in models if portraits and model.folder}
    general = [model for model in models if model.folder and model.name != portraits]
    return Inpainter(engines, options, general, portraits, priors, PATCHMATCH if PATCHMATCH in engines else "")


class Inpainter:
    """A model, or a general one and one for portraits, ready to fill holes. Made by `invertfill.load`.

    Args:
        engines: loaded models by name.
        options: of every fill, unless a call changes them.
        general: the models that fill whatever shows no face, the smaller one first; by default, the first engine's.
        portraits: the model of aligned portraits, which fills faces, wherever they are; "": none does.
        priors: by name, what these models' pictures look like. Where no face is found, a whole picture that is most
            likely a portrait is one.
        drawings: the model for holes among few colours; "": the general ones fill these, too.

    `fill`, `fill_samples`, `fill_many` and `outpaint` take the names of `FillOptions` as keywords, such as ``seed=7``,
    for one call; what is decided at loading (model, engine, device, quality) can't be changed so.

    Several threads may use one at the same time: nothing of a fill is kept in it. The results are the same as one after
    the other.
    """

    def __init__(
        self,
        engines: Mapping[str, Engine],
        options: FillOptions | None = None,
        general: Sequence[ModelInfo] = (),
        portraits: str = "",
        priors: Mapping[str, DomainPrior] | None = None,
        drawings: str = "",
    ) -> None:
        self.engines = engines
        self.options = options or FillOptions()
        self.general = general
        self.portraits = portraits
        self.priors = priors or {}
        self.drawings = drawings

    def __repr__(self) -> str:
        return f"Inpainter({self.options.model}: {self.engines})"

    @property
    def engine(self) -> Engine:
        """The first model's."""
        return self.engines[next(iter(self.engines))]

    def only(self, model: str) -> Inpainter:
        """The same with one of its models, which fills whatever comes; faces stay with the model of portraits."""
        portraits = self.portraits if model != self.portraits else ""
        return Inpainter(self.engines, self.options, [self.engines[model].model], portraits)

    def fill(self, image: ImageSource, mask: MaskSource | None = None, **changes: Any) -> FillResult:
        """Fill the holes of one picture.

        Args:
            image: a path, a file's bytes, an open binary file, a PIL image, or an array (H, W[, 3 or 4]) of integers or
                floats; any size. Of a file with several pages or frames, all are filled; see `FillResult.frames`.
            mask: the same kinds, of the picture's size, white (or True) = hole; `invertfill.imaging.mask_levels` has
                all of it. None: the boxes given as `box`, or else where the picture is transparent (with the partly
                transparent pixels that touch it; of these, what is there lies over the fill), or NaN, or nodata. For
                several pages or frames: one for all, a file with as many, or a list of as many.
            changes: options for this call; see `FillOptions`. Seed 0 fills from the long-run mean latent, or from the
                likeliest one where the model guesses it; any other seed draws a latent of its own
                (`ModelInfo.mean_latent_samples`) and gives another fill. The same seed gives the same picture.

        Returns:
            A picture of the same size and mode, and what there is to say about it. Every pixel outside the hole (after
            `grow`, and `feather` pixels around it) is as it was, byte for byte. The hole is opaque, or with a mask, as
            see-through as what surrounds it. (A JPEG file of it is compressed again.)

        Raises:
            InputError: a picture or mask that can't be read, or of which the sizes differ; an option not accepted.
        """
        return next(self.iter_many([(image, mask)], **changes))

    def fill_samples(
        self, image: ImageSource, mask: MaskSource | None = None, *, batch: int = BATCH, **changes: Any
    ) -> list[FillResult]:
        """Fill the holes of one picture in several different ways; see `fill`.

        The style code is the encoder's offset from a mean latent. Another mean latent, a mean of a few mapped z as in
        training (Sec. 3.2), moves it to another person or place that the known pixels allow; other noise, where the
        model has such, draws other texture.

        Args:
            batch: so many holes go through the model at once.
            changes: options; of these, `samples` says how many, and `seed` is the first one's.

        Returns:
            One result for each seed: what `fill` gives for it. `iter_samples` holds one picture at a time.
        """
        return list(self.iter_samples(image, mask, batch=batch, **changes))

    def iter_samples(
        self, image: ImageSource, mask: MaskSource | None = None, *, batch: int = BATCH, **changes: Any
    ) -> Iterator[FillResult]:
        """`fill_samples`, one result after the other, each as soon as it is there."""
        options, image = self.options.changed(**changes), settle(image, "image")
        if (several := read_frames(image)) is not None:
            name = name_of(image, "image")
            for seed in options.seeds:
                yield fill_frames(self, several, mask, name, **changes | {"seed": seed, "samples": 1})
                if seed != options.seeds[-1]:
                    several = read_frames(image)  # the last fill has used it up
                    assert several is not None
            return
        clock = _Clock()
        job = self._prepare(image, mask, options)
        if job.faces:  # are filled, with the first seed
            jobs = [job, *(self._prepare(image, mask, replace(options, seed=seed)) for seed in options.seeds[1:])]
        else:
            jobs = [replace(job, seed=seed) for seed in options.seeds]
        outputs = _run(jobs, batch, options)
        for one in jobs:
            own = job.faces or one is jobs[-1]  # it may have the picture itself
            yield _composite(one if own else replace(one, picture=_copy(job.picture)), outputs, options, clock)

    def fill_many(
        self, pairs: Iterable[tuple[ImageSource, MaskSource | None]], *, batch: int = BATCH, **changes: Any
    ) -> list[FillResult]:
        """Fill many pictures; see `fill`.

        Args:
            pairs: picture and mask of each.
            batch: so many go through the model at once.
            changes: options, of each.

        Returns:
            The results, in order. `iter_many` holds no more than `batch` pictures at a time.
        """
        return list(self.iter_many(pairs, batch=batch, **changes))

    def iter_many(
        self, pairs: Iterable[tuple[ImageSource, MaskSource | None]], *, batch: int = BATCH, **changes: Any
    ) -> Iterator[FillResult]:
        """`fill_many`, one result after the other. Where a picture can't be read, the results before it come first."""
        options = _of_one(self.options.changed(**changes))
        remaining = iter(pairs)
        while True:
            clock = _Clock()
            jobs: list[_Job] = []
            several: tuple[str, Reader, MaskSource | None] | None = None
            bad: InputError | None = None
            try:
                for image, mask in islice(remaining, batch):
                    source = settle(image, "image")
                    if (reader := read_frames(source)) is not None:
                        several = name_of(source, "image"), reader, mask
                        break
                    jobs.append(self._prepare(source, mask, options))
            except InputError as error:
                bad = error
            outputs = _run(jobs, batch, options)
            for job in jobs:
                yield _composite(job, outputs, options, clock)
            if bad:
                raise bad
            if several is not None:
                name, reader, mask = several
                yield fill_frames(self, reader, mask, name, **changes)
            elif len(jobs) < batch:
                return

    def outpaint(
        self,
        image: ImageSource,
        *,
        left: int | str = 0,
        top: int | str = 0,
        right: int | str = 0,
        bottom: int | str = 0,
        aspect: str | None = None,
        **changes: Any,
    ) -> FillResult:
        """Draw what lies beyond a picture's sides.

        Args:
            image: as in `fill`; a hole that is already there (transparent) stays one.
            left, top, right, bottom: pixels to add, such as 120, or a share of the width or height, such as "25%". Far
                ones are drawn in steps, each over what the last has made.
            aspect: instead, a ratio such as "16:9", by equal margins on two sides.
            changes: options, as in `fill`.

        Returns:
            A picture of the larger size; the given one lies in it as it was, byte for byte.

        Raises:
            InputError: a picture that can't be read, nothing to add, a negative number, or an option not accepted.
        """
        changes = {name: DEFAULTS[name] for name in OF_HOLE} | changes  # what is given of holes is for pictures' own
        options = _of_one(self.options.changed(**changes))
        clock, notes, image = _Clock(), Notes(), settle(image, "image")
        name = name_of(image, "image")
        picture = open_image(image, note=notes)
        inpainter, why = self, ""
        result = FillResult(restored(picture), "", seed=options.seed, output_quality=options.output_quality)
        wanted = parse_margins(picture.size, left, top, right, bottom, aspect)
        if not wanted.any:
            notes(f"{name}: has the aspect ratio {aspect} already; the result is a copy")
        for margins in wanted.steps(*picture.size):
            canvas, hole = extend(result.image, margins)
            if inpainter.priors:  # one model for all steps
                engine, why = self._select(canvas, hole, options)
                notes(f"{name}: {why}")
                inpainter = self.only(engine.model.name)
            job, before = inpainter._prepare(canvas, hole, options, name), result.seconds
            result = _composite(job, _run([job], BATCH, options), options, clock)
            result = replace(result, seconds=before + result.seconds)
            notes(*result.notes)
        return replace(result, why=why, notes=tuple(notes), seconds=result.seconds + clock.seconds())

    def sample(self, seeds: Sequence[int], truncation: float = 0.7) -> list[Image.Image]:
        """Draw what the generator knows.

        Args:
            seeds: one picture each.
            truncation: psi: w = w_mean + psi * (mapping(z) - w_mean); 1 is as varied as training, 0 the mean picture.
        """
        pictures = []
        engine, model = self.engine, self.engine.model
        for seed in seeds:
            z = np.random.default_rng(seed).standard_normal((1, model.z_dim), np.float32)
            w = model.w_mean + truncation * (engine.mapping(z) - model.w_mean)
            pixels = engine.synthesis(w)[0].transpose(1, 2, 0).clip(-1, 1)
            pictures.append(Image.fromarray(((pixels + 1) * 127.5).round().astype(np.uint8)))
        return pictures

    def _prepare(self, image: ImageSource, mask: MaskSource | None, options: FillOptions, name: str = "") -> _Job:
        image, notes = settle(image, "image"), Notes()
        name = name or name_of(image, "image")
        picture = open_image(image, note=notes)
        hole, feather = read_hole(picture, mask, name, options, notes), None
        if not hole.any():
            notes(f"{name}: no hole{why_none(picture, mask)}; the result is a copy")
            return _Job(picture, None, [], options.seed, "", notes)
        if options.feather:
            hole, feather = Feather.around(picture, hole, options.feather)
        if _unknown(picture, hole).all():
            if not hole.all() and missing(picture) is not None:
                raise InputError(f"{name}: NaN or nodata everywhere outside the hole; accepted: pixels to fill it from")
            notes(f"{name}: everything is a hole, so nothing is known; filled from the mean latent")
        flat = fill_one_colour(picture, hole) if samples_of(picture) is None else np.zeros_like(hole)
        hole = hole & ~flat
        if not hole.any():
            why = "all around the hole is one colour, and so is the hole"
            return _Job(picture, None, [], options.seed, why, notes, feather=feather)
        job = _Job(picture, None, [], options.seed, "", notes, mask is None and not options.box, feather)
        faces, why = self._find_faces(picture, hole, options), ""
        if faces:
            many = f"{len(faces)} faces were" if len(faces) > 1 else "a face was"
            why = f"portrait model ({self.portraits}): {many} found"
        engine: Engine | None
        if is_portrait(faces, hole, options.context):
            engine, faces = self.engines[self.portraits], []
        else:
            for square in faces:
                hole = hole & ~self._fill_face(job, hole, square, options)
            engine = None
            if hole.any():
                engine, of_rest = (
                    (self._general(hole, options, {}), "") if faces else self._select(picture, hole, options)
                )
                why = f"{why}; general model ({engine.model.name}) for the rest" if faces else of_rest
        if why:
            notes(f"{name}: {why}")
        if engine is None:
            ran = name_of_engine(self.engines[self.portraits])
            return replace(job, why=why, model=self.portraits, faces=len(faces), ran=ran)
        pieces = _pieces(picture, hole, engine.model.size, options, notes, engine.model.aligned)
        ran, model = name_of_engine(engine), engine.model.name
        return replace(job, engine=engine, pieces=pieces, why=why, model=model, faces=len(faces), ran=ran)

    def _find_faces(self, picture: Image.Image, hole: np.ndarray, options: FillOptions) -> list[Square]:
        """The squares of portraits that a hole touches, if there is a model for them."""
        if not self.portraits or options.faces != AUTO:
            return []
        unknown = _unknown(picture, hole)

        def see(square: Square) -> tuple[np.ndarray, np.ndarray]:
            left, top, right, bottom = box = square.around.inside(*picture.size)
            hidden = unknown[top:bottom, left:right]
            rgb, _ = _colours(picture, hidden, box, silent)
            return square.moved(-complex(left, top)).cut(rgb, hidden, FACE_SIZE)

        return find_portraits(hole, see)

    def _fill_face(self, job: _Job, hole: np.ndarray, square: Square, options: FillOptions) -> np.ndarray:
        """Fill, in the job's picture, the part of a hole that is face and hair; that part, (H, W) bool."""
        part = in_head(square, hole)
        if part.any():
            engine = self.engines[self.portraits]
            piece = _face_piece(job.picture, hole, part, square, engine.model.size)
            face = replace(job, engine=engine, pieces=[piece])
            _put(face, _run([face], BATCH, options), options)
        return part

    def _select(self, picture: Image.Image, hole: np.ndarray, options: FillOptions) -> tuple[Engine, str]:
        """The engine for a picture in which no face was found, and why this one where there was a choice."""
        crop = find_compact_crops(hole, PRIOR_SIZE, options.context)[0]
        if self.drawings and _is_drawn(picture, hole):
            return self.engines[self.drawings], f"{self.drawings}: few colours are around the hole"
        likely = self._likelihoods(picture, hole, crop)
        engine = self._general(hole, options, likely)
        if not self.portraits:
            return engine, ""
        whole = is_nearly_square(*picture.size) and crop.inside(*picture.size) == (0, 0, *picture.size)
        if whole and likely and max(likely, key=likely.__getitem__) == self.portraits:
            why = f"portrait model ({self.portraits}): the whole picture looks like a portrait"
            return self.engines[self.portraits], why
        found = ": no face at the hole" if options.faces == AUTO else ""
        return engine, f"general model ({engine.model.name}){found}"

    def _likelihoods(self, picture: Image.Image, hole: np.ndarray, crop: Crop) -> dict[str, float]:
        """By name, how likely it is that what a crop shows is of a model's domain; {} where too little is known."""
        if not self.priors:
            return {}
        piece = _piece(picture, hole, _unknown(picture, hole), crop, PRIOR_SIZE, silent)
        seen, masks = piece.seen[None], piece.seen_mask[None]
        if (masks == 0).sum() < LEAST:
            return {}
        return {name: prior.log_likelihood(seen, masks) for name, prior in self.priors.items()}

    def _general(self, hole: np.ndarray, options: FillOptions, likely: Mapping[str, float]) -> Engine:
        """Of the general models the smallest that sees a picture at about its own size, or else the largest; but the
        smallest for its own domain and for thin holes, which it fills better."""
        if not self.general:
            return self.engine
        fitting = (model for model in self.general if max(hole.shape) <= REDUCED * model.size)
        first, model = self.general[0], next(fitting, self.general[-1])
        if model != first:
            own = bool(likely) and likely[first.name] > likely[model.name] + NEARER
            if own or (options.context is None and is_thin(hole, first.size)):
                model = first
        return self.engines[model.name]


def show_hole(
    image: ImageSource, mask: MaskSource | None = None, options: FillOptions | None = None, colour: str = "white"
) -> Image.Image:
    """RGB: a picture with its hole in one colour; arguments and errors as of `Inpainter.fill`."""
    image = settle(image, "image")
    picture = open_image(image, note=silent)
    hole = Image.fromarray(read_hole(picture, mask, name_of(image, "image"), options or FillOptions(), silent))
    return Image.composite(Image.new("RGB", picture.size, colour), to_srgb(picture, note=silent), hole)


class _Clock:
    """Seconds since it was made, or since it was last asked."""

    def __init__(self) -> None:
        self.since = perf_counter()

    def seconds(self) -> float:
        before, self.since = self.since, perf_counter()
        return self.since - before


@dataclass(frozen=True)
class _Piece:
    """What lies inside the picture of one square around holes.

    Attributes:
        box: left, top, right, bottom in the picture.
        hole: (h, w) bool, all of it that lies there.
        part: (h, w) in [0, 1], how much this square has to say on each pixel of it: `Crop.part`.
        unknown: (h, w) bool: the hole, and where nothing is known beside it: erased, NaN or nodata.
        rgb: (h, w, 3) uint8, sRGB; of other than 8 bits (h, w, 1 or 3) float32, as `levels` sees it.
        crop: the square, in the piece's own coordinates.
        seen, seen_mask: what the model sees of it, from `cut`.
        turned: where the square is turned, what of it the crop is.
    """

    box: Box
    hole: np.ndarray
    part: np.ndarray
    unknown: np.ndarray
    rgb: np.ndarray
    crop: Crop
    seen: np.ndarray
    seen_mask: np.ndarray
    levels: Levels | None = None
    turned: Turned | None = None


@dataclass(frozen=True)
class _Job:
    picture: Image.Image
    engine: Engine | None  # None where there is no hole, or none is left
    pieces: list[_Piece]
    seed: int
    why: str
    notes: Notes
    by_alpha: bool = False  # the hole is where the picture is transparent
    feather: Feather | None = None
    model: str = ""  # see `FillResult`, as of `faces` and, there called `engine`, `ran`
    faces: int = 0
    ran: str = ""


def _of_one(options: FillOptions) -> FillOptions:
    """The same, where one fill of a picture is wanted."""
    if options.samples != 1:
        raise InputError(f"samples {options.samples}; accepted: 1, or fill_samples for several fills of a picture")
    return options


def _run(jobs: Sequence[_Job], batch: int, options: FillOptions) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Of each piece O_G, (3, s, s), and the same blended with the known pixels; `batch` of one engine at once."""
    for _, group in groupby((job for job in jobs if job.engine), lambda job: id(job.engine)):
        same = list(group)
        engine = same[0].engine
        assert engine is not None
        blend = BLENDS[engine.model.blend if options.blend == AUTO else options.blend]
        anchors = {seed: (latent_of(engine, seed), noise_of(engine, seed)) for seed in {job.seed for job in same}}
        pieces = [(piece, anchors[job.seed]) for job in same for piece in job.pieces]
        for start in range(0, len(pieces), batch):
            part = pieces[start : start + batch]
            image, mask = np.stack([piece.seen for piece, _ in part]), np.stack([piece.seen_mask for piece, _ in part])
            latents = np.concatenate([latent for _, (latent, _) in part])
            noise = [own for _, (_, own) in part if own is not None]
            request = CropRequest(image, mask, latents, np.stack(noise) if noise else None, options.quality == "best")
            for i, output in enumerate(engine.fill(request)):
                if engine.model.name == PATCHMATCH and part[i][0].levels is not None:
                    output = between_steps(output, image[i], mask[i])
                if not mask[i].all():
                    yield output, blend(output, image[i], mask[i])
                    continue
                if not engine.model.guesses_z:  # which draws of nothing, too
                    output = engine.synthesis(latents[i : i + 1])[0]
                yield output, output


def _pieces(
    picture: Image.Image, hole: np.ndarray, size: int, options: FillOptions, note: Note, aligned: bool = False
) -> list[_Piece]:
    unknown = _unknown(picture, hole)
    crops = find_crops(hole, size, options.context, thin=not aligned, note=note)
    return [_piece(picture, hole, unknown, crop, size, note) for crop in crops]


def _unknown(picture: Image.Image, hole: np.ndarray) -> np.ndarray:
    """(H, W) bool: the hole, and what else nothing is known of."""
    alpha = alpha_of(picture)
    for more in (None if alpha is None else erased(alpha), missing(picture)):
        hole = hole if more is None else hole | more
    return hole


def _piece(picture: Image.Image, hole: np.ndarray, unknown: np.ndarray, crop: Crop, size: int, note: Note) -> _Piece:
    left, top, right, bottom = box = crop.inside(*picture.size)
    inside, hidden = hole[top:bottom, left:right], unknown[top:bottom, left:right]
    filled = inside if crop.part is None else crop.part
    crop = Crop(crop.x - left, crop.y - top, crop.side, crop.part)
    rgb, levels = _colours(picture, hidden, box, note)
    return _Piece(box, inside, filled, hidden, rgb, crop, *cut(rgb, hidden, crop, size), levels)


def _face_piece(picture: Image.Image, hole: np.ndarray, part: np.ndarray, square: Square, size: int) -> _Piece:
    """A piece that fills `part` of the hole, seen from a turned square."""
    left, top, right, bottom = box = square.around.inside(*picture.size)
    inside = np.s_[top:bottom, left:right]
    hidden = _unknown(picture, hole)[inside]
    rgb, levels = _colours(picture, hidden, box, silent)
    turned = Turned.of(square.moved(-complex(left, top)), rgb, hidden)
    crop = Crop(0, 0, len(turned.rgb))
    seen = cut(turned.rgb, turned.hole, crop, size)
    return _Piece(box, hole[inside], part[inside], hidden, rgb, crop, *seen, levels, turned)


def _colours(picture: Image.Image, hidden: np.ndarray, box: Box, note: Note) -> tuple[np.ndarray, Levels | None]:
    """`_Piece.rgb` and `levels` of a box in which (h, w) bool is unknown."""
    samples = part_of(picture, box)
    if samples is not None:
        levels = Levels.of(samples, ~hidden)
        return levels.seen(samples), levels
    part = picture.crop(box)
    part.info = picture.info
    return np.asarray(to_srgb(part, note=note)), None


def _faded(old: np.ndarray, new: np.ndarray, before: np.ndarray, weight: np.ndarray) -> np.ndarray:
    """Pixels (N[, C]) of several squares so far, and of one more: their mean by weights (N,)."""
    share = weight.astype(np.float64) / (before.astype(np.float64) + weight)
    share = share.reshape(-1, *[1] * (new.ndim - 1))
    old = np.where(share == 1, new, old)  # where nothing was before, the new one exactly; what was there may be NaN
    mean = old + (new - old.astype(np.float64)) * share
    return (np.rint(mean) if new.dtype.kind in "iu" else mean).astype(new.dtype)


def _colours_near(picture: Image.Image, piece: _Piece) -> np.ndarray | None:
    """Those around what the piece fills, if they are few; as the picture has them."""
    left, top, right, bottom = bounds(piece.part)
    left, top, right, bottom = max(left - NEAR, 0), max(top - NEAR, 0), right + NEAR, bottom + NEAR
    known = ~piece.hole[top:bottom, left:right]
    x, y = piece.box[0] + left, piece.box[1] + top
    pixels = np.asarray(picture.crop((x, y, x + known.shape[1], y + known.shape[0])))
    return few_colours(pixels, known & visible(picture, pixels))


def _is_drawn(picture: Image.Image, hole: np.ndarray) -> bool:
    """Whether few colours are around the holes, as in sprites, scans and diagrams."""
    if samples_of(picture) is not None:
        return False
    left, top, right, bottom = bounds(hole)
    left, top = max(left - NEAR, 0), max(top - NEAR, 0)
    known = ~hole[top : bottom + NEAR, left : right + NEAR]
    pixels = np.asarray(picture.crop((left, top, left + known.shape[1], top + known.shape[0])))
    step = 1 + max(known.shape) // LARGE
    pixels, known = pixels[::step, ::step], known[::step, ::step]
    return few_colours(pixels, known & visible(picture, pixels)) is not None


def _copy(picture: Image.Image) -> Image.Image:
    copy = picture.copy()
    if is_beside(picture):
        copy.info[SAMPLES] = picture.info[SAMPLES].copy()
    return copy


def _composite(
    job: _Job, outputs: Iterator[tuple[np.ndarray, np.ndarray]], options: FillOptions, clock: _Clock
) -> FillResult:
    """O = I * (1 - M) + O_G * M in the picture's own mode, so that known pixels never pass through a conversion.

    In a hole by transparency, M of a partly transparent pixel is what its alpha lacks.

    The job's picture itself is changed and returned, hole by hole: a second one would take as much memory again.
    """
    raw, picture = _put(job, outputs, options), job.picture
    if job.feather:
        job.feather.fade(picture)
    if is_beside(picture) and (job.pieces or job.faces):
        refresh(picture)
    return FillResult(
        restored(picture),
        job.model,
        job.why,
        tuple(job.notes),
        job.seed,
        clock.seconds(),
        raw,
        output_quality=options.output_quality,
        faces=job.faces,
        engine=job.ran,
    )


def _put(job: _Job, outputs: Iterator[tuple[np.ndarray, np.ndarray]], options: FillOptions) -> np.ndarray | None:
    """Put what was drawn into the job's picture; `FillResult.raw`."""
    picture = job.picture
    alpha, samples = alpha_of(picture), samples_of(picture)
    opaque = 255 if alpha is None or samples is None else greatest(samples)
    raw = np.array(to_srgb(picture, note=silent)) if options.keep_raw else None
    shared = any(piece.crop.part is not None for piece in job.pieces)
    given = _copy(picture) if shared and job.by_alpha else picture  # squares that share pixels see what was there
    said = np.zeros(picture.size[::-1], np.float16) if shared else None  # of each pixel by squares so far
    for piece in job.pieces:
        turned = piece.turned
        where = (turned.rgb, turned.hole, piece.crop) if turned else (piece.rgb, piece.unknown, piece.crop)
        drawn, output = next(outputs)
        if raw is not None and not turned:
            x0, y0, x1, y1 = piece.box
            shown = np.s_[:] if piece.crop.part is None else piece.part > 0
            raw[y0:y1, x0:x1][shown] = enlarge(drawn, piece.crop, piece.hole.shape)[shown]
        enlarged = piece.crop.side > output.shape[-1]
        filled = put_back_with_detail(*where, output, piece.seen_mask) if enlarged else put_back(*where, output)
        if turned:
            filled = turned.put_back(piece.rgb, piece.unknown, filled)
        colours = _colours_near(picture, piece) if samples is None else None
        if colours is None and samples is None:
            filled = add_grain(filled, piece.unknown, piece.part > 0, job.seed, piece.box[:2])
        left, top, right, bottom = bounds(piece.part)
        inside = np.s_[top:bottom, left:right]
        hole, weight = piece.part[inside] > 0, piece.part[inside]
        x, y = piece.box[:2]
        box = x + left, y + top, x + right, y + bottom
        part = part_of(picture, box)
        if part is not None and piece.levels is not None:
            part = part if is_beside(picture) else part.copy()
            content = piece.levels.values(filled[inside][hole], part)
        else:
            content = np.array(from_srgb(Image.fromarray(filled[inside]), picture))[hole]
            part = np.array(picture.crop(box))
        if alpha is not None:
            x0, y0, x1, y1 = piece.box
            around = alpha[y0:y1, x0:x1]
            if job.by_alpha:
                full = opaque_in(alpha)
                content = over(pixels_in(given, box)[hole], content, around[inside][hole], full)
                content[:, -1] = opaque * full / 255
            else:
                content[:, -1] = continued(around, piece.hole)[inside][hole] * (opaque / 255)
        if said is not None:
            before = said[box[1] : box[3], box[0] : box[2]]
            content = _faded(part[hole], content, before[hole], weight[hole])
            before += weight
        part[hole] = content if colours is None else nearest(content, colours)
        put_part(picture, part, box)
    return raw
