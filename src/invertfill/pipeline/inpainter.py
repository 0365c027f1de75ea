"""Picture + mask -> filled picture: the API of everyday use, and the choice of a model."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from functools import cache
from itertools import islice
from time import perf_counter
from typing import Any

import numpy as np
from PIL import Image

from invertfill.engines import Engines
from invertfill.engines.base import Engine
from invertfill.engines.base import name_of as name_of_engine
from invertfill.errors import InputError
from invertfill.imaging.colour import to_srgb
from invertfill.imaging.depth import missing, samples_of
from invertfill.imaging.frames import Reader, read_frames
from invertfill.imaging.masks import MaskSource
from invertfill.imaging.palette import restored
from invertfill.imaging.reading import open_image
from invertfill.imaging.sources import ImageSource, name_of, settle
from invertfill.notes import Notes, silent
from invertfill.options import AUTO, DEFAULTS, OF_HOLE, FillOptions
from invertfill.pipeline.compositing import composite, copy_of, draw, put
from invertfill.pipeline.crops import Crop, bounds, find_compact_crops, is_nearly_square
from invertfill.pipeline.domain_prior import DomainPrior
from invertfill.pipeline.face_detector import SIZE
from invertfill.pipeline.faces import See, find_portraits, hints_at_portrait, in_head, is_portrait
from invertfill.pipeline.feather import Feather
from invertfill.pipeline.flat import NEAR, few_colours, fill_one_colour, visible
from invertfill.pipeline.frames import fill_frames
from invertfill.pipeline.holes import read_hole, why_none
from invertfill.pipeline.outpainting import extend, parse_margins
from invertfill.pipeline.pieces import Job, colours_of, face_piece, pieces_of, unknown_in
from invertfill.pipeline.result import FillResult
from invertfill.pipeline.squares import Square
from invertfill.pipeline.thin import is_thin
from invertfill.registry import DOMAIN, PATCHMATCH, ModelInfo, find_models

REDUCED = 1.5  # a picture this many times larger than a model is left to a larger one
NEARER = 0.01  # nats per value: a picture must be this much nearer to the smaller model's domain
SURER = 0.03  # nats per value: a whole picture must be this much nearer to portraits, where no face is found
LARGE = 1024  # pixels a side are enough to tell whether colours are few
LEAST = 64  # of these have to be known to tell whose it is
BATCH = 8  # holes that go through a model at once, and pictures in memory at once


def open_inpainter(options: FillOptions, threads: int = 0, stays: bool = False) -> Inpainter:
    """Open what `invertfill.registry.find_models` finds for `options.model`; `invertfill.load` says what is accepted.

    Args:
        options: the inpainter's.
        threads, stays: see `invertfill.engines.open_engine`.
    """
    models = find_models(options.model)
    engines = Engines(models, options, threads, stays)
    if len(models) == 1:
        engines[models[0].name]
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
            InputError: a picture or mask that can't be read, two sizes that differ, or an option that isn't accepted.
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
            batch: how many holes go through the model at once.
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
            others = (replace(options, seed=seed) for seed in options.seeds[1:])
            jobs = [job, *(self._prepare(image, mask, each, faces=job.faces) for each in others)]
        else:
            jobs = [replace(job, seed=seed) for seed in options.seeds]
        outputs = draw(jobs, batch, options)
        for one in jobs:
            own = job.faces or one is jobs[-1]  # it may have the picture itself
            yield composite(one if own else replace(one, picture=copy_of(job.picture)), outputs, options, clock.seconds)

    def fill_many(
        self, pairs: Iterable[tuple[ImageSource, MaskSource | None]], *, batch: int = BATCH, **changes: Any
    ) -> list[FillResult]:
        """Fill many pictures; see `fill`.

        Args:
            pairs: picture and mask of each.
            batch: how many go through the model at once.
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
            jobs: list[Job] = []
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
            outputs = draw(jobs, batch, options)
            for job in jobs:
                yield composite(job, outputs, options, clock.seconds)
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
                engine, why = self._select(canvas, hole, options, _views(canvas, hole))
                notes(f"{name}: {why}")
                inpainter = self.only(engine.model.name)
            job, before = inpainter._prepare(canvas, hole, options, name), result.seconds
            result = composite(job, draw([job], BATCH, options), options, clock.seconds)
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

    def _prepare(
        self,
        image: ImageSource,
        mask: MaskSource | None,
        options: FillOptions,
        name: str = "",
        faces: list[Square] | None = None,
    ) -> Job:
        """Read a picture and its hole, and fill what is face; `faces`: as they have been found before."""
        image, notes = settle(image, "image"), Notes()
        name = name or name_of(image, "image")
        picture = open_image(image, note=notes)
        hole, feather = read_hole(picture, mask, name, options, notes), None
        if not hole.any():
            notes(f"{name}: no hole{why_none(picture, mask)}; the result is a copy")
            return Job(picture, None, [], options.seed, "", notes)
        if options.feather:
            hole, feather = Feather.around(picture, hole, options.feather)
        if unknown_in(picture, hole).all():
            if not hole.all() and missing(picture) is not None:
                raise InputError(f"{name}: NaN or nodata everywhere outside the hole; accepted: pixels to fill it from")
            notes(f"{name}: everything is a hole, so nothing is known; filled from the mean latent")
        flat = fill_one_colour(picture, hole) if samples_of(picture) is None else np.zeros_like(hole)
        hole = hole & ~flat
        if not hole.any():
            why = "all around the hole is one colour, and so is the hole"
            return Job(picture, None, [], options.seed, why, notes, feather=feather)
        job = Job(picture, None, [], options.seed, "", notes, mask is None and not options.box, feather)
        see, why = _views(picture, hole), ""
        if faces is None:
            looks = self.portraits and options.faces == AUTO
            faces = find_portraits(hole, see) if looks else []
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
                    (self._general(hole, options, {}), "") if faces else self._select(picture, hole, options, see)
                )
                why = f"{why}; general model ({engine.model.name}) for the rest" if faces else of_rest
        if why:
            notes(f"{name}: {why}")
        if engine is None:
            ran = name_of_engine(self.engines[self.portraits])
            return replace(job, why=why, model=self.portraits, faces=faces, ran=ran)
        pieces = pieces_of(picture, hole, engine.model.size, options, notes, engine.model.aligned)
        ran, model = name_of_engine(engine), engine.model.name
        return replace(job, engine=engine, pieces=pieces, why=why, model=model, faces=faces, ran=ran)

    def _fill_face(self, job: Job, hole: np.ndarray, square: Square, options: FillOptions) -> np.ndarray:
        """Fill, in the job's picture, the part of a hole that is face and hair; that part, (H, W) bool."""
        part = in_head(square, hole)
        if part.any():
            engine = self.engines[self.portraits]
            piece = face_piece(job.picture, hole, part, square, engine.model.size)
            face = replace(job, engine=engine, pieces=[piece])
            put(face, draw([face], BATCH, options), options)
        return part

    def _select(self, picture: Image.Image, hole: np.ndarray, options: FillOptions, see: See) -> tuple[Engine, str]:
        """The engine for a picture in which no face was found, and why this one where there was a choice."""
        crop = find_compact_crops(hole, SIZE, options.context)[0]
        if self.drawings and _is_drawn(picture, hole):
            return self.engines[self.drawings], f"{self.drawings}: few colours are around the hole"
        likely = self._likelihoods(crop, see)
        engine = self._general(hole, options, likely)
        if not self.portraits:
            return engine, ""
        if options.faces != AUTO:
            return engine, f"general model ({engine.model.name})"
        whole = is_nearly_square(*picture.size) and crop.inside(*picture.size) == (0, 0, *picture.size)
        others = [value for name, value in likely.items() if name != self.portraits]
        if whole and others and likely[self.portraits] > max(others) + SURER and hints_at_portrait(hole, see):
            why = f"portrait model ({self.portraits}): the whole picture looks like a portrait"
            return self.engines[self.portraits], why
        return engine, f"general model ({engine.model.name}): no face at the hole"

    def _likelihoods(self, crop: Crop, see: See) -> dict[str, float]:
        """By name, how likely it is that what a crop shows is of a model's domain; {} where too little is known."""
        if not self.priors:
            return {}
        seen, masks = (array[None] for array in see(Square.upright(crop)))
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


def _views(picture: Image.Image, hole: np.ndarray) -> See:
    """What is seen of squares of a picture; of each only once, because the choice of a model looks at some again."""
    unknown = unknown_in(picture, hole)

    @cache
    def see(square: Square) -> tuple[np.ndarray, np.ndarray]:
        left, top, right, bottom = box = square.around.inside(*picture.size)
        hidden = unknown[top:bottom, left:right]
        rgb, _ = colours_of(picture, hidden, box, silent)
        return square.moved(-complex(left, top)).cut(rgb, hidden, SIZE)

    return see


class _Clock:
    """Seconds since it was made, or since it was last asked."""

    def __init__(self) -> None:
        self.since = perf_counter()

    def seconds(self) -> float:
        before, self.since = self.since, perf_counter()
        return self.since - before


def _of_one(options: FillOptions) -> FillOptions:
    """The same, where one fill of a picture is wanted."""
    if options.samples != 1:
        raise InputError(f"samples {options.samples}; accepted: 1, or fill_samples for several fills of a picture")
    return options


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
