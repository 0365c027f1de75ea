"""What a worker does with a form: pictures in, pictures out, all in memory."""

from __future__ import annotations

import contextlib
import os
import threading
from base64 import b64encode
from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict, replace
from time import perf_counter
from typing import Annotated, Any, TypeAlias

from pydantic import BaseModel, PlainSerializer

from invertfill.engines import Engines
from invertfill.engines.base import Engine
from invertfill.errors import InputError
from invertfill.imaging.formats import media_type
from invertfill.imaging.frames import read_frames
from invertfill.imaging.preview import PREVIEW_SUFFIX, encode_preview
from invertfill.imaging.reading import look, open_image
from invertfill.imaging.sources import Encoded, ImageSource
from invertfill.notes import Notes
from invertfill.options import AUTO
from invertfill.pipeline.frames import fill_frames
from invertfill.pipeline.inpainter import Inpainter, open_inpainter
from invertfill.pipeline.outpainting import Margins, parse_margins
from invertfill.pipeline.result import FillResult
from invertfill.registry import ModelInfo, find_models, list_models
from invertfill.serve.forms import FillForm, Form, OutpaintForm, PreviewForm
from invertfill.serve.metrics import Metrics
from invertfill.serve.refusal import GONE, Refusal
from invertfill.serve.settings import Settings

Draw: TypeAlias = Callable[[Inpainter, dict[str, Any], Notes], Iterator[FillResult]]  # by options, one for each seed
SUFFIXES = {"png": ".png", "jpeg": ".jpg", "webp": ".webp"}


class Picture(BaseModel):
    """A file that was made."""

    seed: int
    type: str
    width: int
    height: int
    data: Annotated[bytes, PlainSerializer(lambda data: b64encode(data).decode(), return_type=str, when_used="json")]

    @classmethod
    def of(cls, data: bytes, suffix: str, size: tuple[int, int], seed: int = 0) -> Picture:
        """Of a file's content, the suffix of its format, and its width and height."""
        return cls(seed=seed, type=media_type(suffix), width=size[0], height=size[1], data=data)


class Result(BaseModel):
    """What became of a form, and what is answered. Work gives one for each picture, as it is made.

    Attributes:
        notes: a line each: what the user should know.
        model: the name of the model that filled; "" where nothing was filled.
        why: where there was a choice, why this one.
    """

    pictures: list[Picture]
    notes: list[str]
    model: str = ""
    why: str = ""

    @classmethod
    def of(cls, results: list[Result]) -> Result:
        """All as one."""
        pictures = [picture for result in results for picture in result.pictures]
        notes = [note for result in results for note in result.notes]
        return cls(pictures=pictures, notes=notes, model=results[-1].model, why=results[-1].why)


class Service:
    """The models of a server, and what can be had from them.

    Raises:
        InputError: see `invertfill.load`.
    """

    def __init__(self, settings: Settings, metrics: Metrics) -> None:
        self.limits = settings.limits
        self.metrics = metrics
        self.models: dict[str, ModelInfo | None] = {}  # by name, the default first; auto is none of its own
        self._inpainters: dict[str, Inpainter] = {}
        threads = max(1, (os.cpu_count() or 1) // settings.limits.workers)
        for wanted in settings.models:
            options = replace(settings.options, model=wanted)
            inpainter = open_inpainter(options, threads, stays=True)
            for name in inpainter.engines:  # loads it
                inpainter.engines[name]
            if wanted == AUTO:
                self.models[AUTO], self._inpainters[AUTO] = None, inpainter
            for model in list_models() if wanted == AUTO else find_models(wanted):
                engines: Mapping[str, Engine] = Engines([model], options, threads, stays=True)  # opened when asked for
                if model.name in inpainter.engines:
                    engines = {model.name: inpainter.engines[model.name]}
                self.models[model.name], self._inpainters[model.name] = model, Inpainter(engines, options)

    def fill(self, form: FillForm, unwanted: threading.Event) -> Iterator[Result]:
        """The holes of a picture filled, once for each seed."""

        source = Encoded("image", form.image)
        mask = Encoded("mask", form.mask) if form.mask is not None else None

        def draw(inpainter: Inpainter, options: dict[str, Any], _: Notes) -> Iterator[FillResult]:
            if mask:
                self._check_size(look(mask)[1])
            if read_frames(source, self.limits.pixels * 10**6) is None:
                # One at a time, so that it can be left between two.
                yield from inpainter.iter_samples(source, mask, batch=1, **options)
                return
            for seed in inpainter.options.changed(**options).seeds:
                several = read_frames(source)
                assert several is not None
                wanted = replace(several, sources=self._each(several.sources, unwanted))
                yield fill_frames(inpainter, wanted, mask, str(source), **options | {"seed": seed, "samples": 1})

        return self._make(form, unwanted, draw)

    def outpaint(self, form: OutpaintForm, unwanted: threading.Event) -> Iterator[Result]:
        """A picture made larger, once for each seed."""

        def draw(inpainter: Inpainter, options: dict[str, Any], notes: Notes) -> Iterator[FillResult]:
            picture = open_image(Encoded("image", form.image), note=notes)
            margins = asdict(self._margins(form, picture.size))
            for seed in inpainter.options.changed(**options).seeds:
                yield inpainter.outpaint(picture, **margins, **options | {"seed": seed, "samples": 1})

        return self._make(form, unwanted, draw)

    def preview(self, form: PreviewForm, unwanted: threading.Event) -> Iterator[Result]:
        """A picture as browsers can show it: WebP, sRGB, of a screen's size."""
        notes = Notes()
        with _refusing():
            source = Encoded("image", form.image)
            self._check_size(look(source)[1])
            data, size = encode_preview(source, notes)
            yield Result(pictures=[Picture.of(data, PREVIEW_SUFFIX, size)], notes=notes)

    def _make(self, form: Form, unwanted: threading.Event, draw: Draw) -> Iterator[Result]:
        inpainter = self._inpainters.get(form.model or next(iter(self.models)))
        if inpainter is None:
            raise Refusal(422, f"model: unknown; accepted: {', '.join(self.models)}.")
        began, notes, told = perf_counter(), Notes(), 0
        with _refusing():
            if inpainter.options.changed(**form.options).samples > self.limits.samples:
                raise Refusal(422, f"samples: accepted: 1 to {self.limits.samples}.")
            suffix, size = look(Encoded("image", form.image))
            self._check_size(size)
            suffix = SUFFIXES.get(form.format, suffix)
            drawn = draw(inpainter, form.options, notes)
            while True:
                _check_wanted(unwanted)
                if (result := next(drawn, None)) is None:
                    break
                notes(*result.notes)
                data = result.encode(f"image{suffix}", note=notes)
                picture = Picture.of(data, suffix, result.image.size, result.seed)
                yield Result(pictures=[picture], notes=notes[told:], model=result.model, why=result.why)
                told = len(notes)
                self.metrics.drawn()
        self.metrics.worked(perf_counter() - began)

    def _each(self, sources: Iterator[ImageSource], unwanted: threading.Event) -> Iterator[ImageSource]:
        """The pages or frames of a file, as long as somebody waits for them."""
        for source in sources:
            _check_wanted(unwanted)
            if isinstance(source, Encoded):
                self._check_size(look(source)[1])
            yield source

    def _margins(self, form: OutpaintForm, size: tuple[int, int]) -> Margins:
        margins = parse_margins(size, form.left, form.top, form.right, form.bottom, form.aspect)
        if not margins.any:
            raise InputError("nothing to add; accepted: another aspect")
        self._check_size((size[0] + margins.left + margins.right, size[1] + margins.top + margins.bottom))
        return margins

    def _check_size(self, size: tuple[int, int]) -> None:
        if size[0] * size[1] > self.limits.pixels * 10**6:
            most = self.limits.pixels
            raise Refusal(413, f"A picture of {size[0]}x{size[1]} pixels; accepted: up to {most} million.")


def _check_wanted(unwanted: threading.Event) -> None:
    if unwanted.is_set():
        raise Refusal(GONE, "The client has gone.")


@contextlib.contextmanager
def _refusing() -> Iterator[None]:
    """What is wrong with a picture, or too much for the machine, as an answer."""
    try:
        yield
    except InputError as error:
        raise Refusal(422, f"{error}.") from None
    except MemoryError:
        raise Refusal(503, "Not enough memory for that now; try again later, or a smaller picture.", retry=5) from None
