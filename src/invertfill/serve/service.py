"""What a worker does with a form: pictures in, pictures out, all in memory."""

from __future__ import annotations

import contextlib
import io
import os
import threading
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass, field
from time import perf_counter
from typing import TypeAlias

import numpy as np
from PIL import Image

from invertfill.errors import InputError
from invertfill.imaging.colour import to_srgb
from invertfill.imaging.io import Encoded, encode_image, look, open_image
from invertfill.imaging.masks import read_mask
from invertfill.pipeline.inpainter import Inpainter, open_inpainter
from invertfill.pipeline.outpainting import Margins, margins_for_aspect, parse_margins
from invertfill.registry import AUTO, AnyModel, find_models
from invertfill.serve.forms import FillForm, Form, OutpaintForm, PreviewForm
from invertfill.serve.metrics import Metrics
from invertfill.serve.notes import notes_of
from invertfill.serve.refusal import GONE, Refusal
from invertfill.serve.settings import Settings

PREVIEW = 2048  # pixels, the longer side: more than a screen shows of a page
Draw: TypeAlias = Callable[[Inpainter], Iterator[Image.Image]]  # with that model, one for each seed
SUFFIXES = {"png": ".png", "jpeg": ".jpg", "webp": ".webp"}


@dataclass(frozen=True)
class Picture:
    """A file that was made."""

    seed: int
    suffix: str
    size: tuple[int, int]
    data: bytes = field(repr=False)


@dataclass(frozen=True)
class Made:
    """What became of a form.

    Attributes:
        notes: a line each, such as which model was chosen and why.
    """

    pictures: list[Picture]
    notes: list[str]


class Workshop:
    """The models of a server, and what can be had from them.

    Raises:
        InputError: see `invertfill.load`.
    """

    def __init__(self, settings: Settings, metrics: Metrics) -> None:
        self.limits = settings.limits
        self.metrics = metrics
        self.models: dict[str, AnyModel | None] = {}  # by name, the default first; auto is none of its own
        self._inpainters: dict[str, Inpainter] = {}
        threads = max(1, (os.cpu_count() or 1) // settings.limits.workers)
        for wanted in settings.models:
            found = find_models(wanted)
            inpainter = open_inpainter(wanted, settings.engine, settings.device, threads=threads, stays=True)
            if inpainter.chooser:
                self.models[AUTO], self._inpainters[AUTO] = None, inpainter
                self._inpainters |= {name: Inpainter(engine) for name, engine in inpainter.chooser.engines.items()}
            else:
                self._inpainters[found[0].name] = inpainter
            self.models |= {model.name: model for model in found}

    def fill(self, form: FillForm, unwanted: threading.Event) -> Made:
        """The holes of a picture filled, once for each seed."""

        def prepare(picture: Image.Image) -> Draw:
            mask = self._mask(form, form.mask, picture.size) if form.mask is not None else None
            # One at a time, so that it can be left between two.
            return lambda inpainter: inpainter.fill_samples(picture, mask, form.samples, seed=form.seed, batch=1)

        return self._make(form, unwanted, prepare)

    def outpaint(self, form: OutpaintForm, unwanted: threading.Event) -> Made:
        """A picture made larger, once for each seed."""

        def prepare(picture: Image.Image) -> Draw:
            margins = asdict(self._margins(form, picture.size))
            return lambda inpainter: (inpainter.outpaint(picture, **margins, seed=seed) for seed in form.seeds)

        return self._make(form, unwanted, prepare)

    def preview(self, form: PreviewForm, unwanted: threading.Event) -> Made:
        """A picture as browsers can show it: WebP, sRGB, at most ``PREVIEW`` pixels a side."""
        with _refusing(), notes_of() as notes:
            _, picture = self._open(form.image)
            small = to_srgb(picture)
            if picture.mode in ("LA", "RGBA"):
                small.putalpha(picture.getchannel("A"))
            small.thumbnail((PREVIEW, PREVIEW))
            data = io.BytesIO()
            small.save(data, "WEBP", quality=90)
            return Made([Picture(0, ".webp", small.size, data.getvalue())], notes)

    def _make(self, form: Form, unwanted: threading.Event, prepare: Callable[[Image.Image], Draw]) -> Made:
        inpainter = self._inpainters.get(form.model or next(iter(self.models)))
        if inpainter is None:
            raise Refusal(422, f"model: unknown; accepted: {', '.join(self.models)}.")
        if form.samples > self.limits.samples:
            raise Refusal(422, f"samples: accepted: 1 to {self.limits.samples}.")
        began, pictures = perf_counter(), []
        with _refusing(), notes_of() as notes:
            suffix, picture = self._open(form.image)
            suffix = SUFFIXES.get(form.format, suffix)
            drawn = prepare(picture)(inpainter)
            for seed in form.seeds:
                if unwanted.is_set():
                    raise Refusal(GONE, "The client has gone.")
                made = next(drawn)
                pictures.append(Picture(seed, suffix, made.size, encode_image(made, f"image{suffix}")))
                self.metrics.drawn()
        self.metrics.worked(perf_counter() - began)
        return Made(pictures, list(dict.fromkeys(notes)))

    def _open(self, data: bytes) -> tuple[str, Image.Image]:
        """The suffix of a picture's format, and the picture."""
        source = Encoded("image", data)
        suffix, size = look(source)
        self._check_size(size)
        return suffix, open_image(source)

    def _mask(self, form: FillForm, data: bytes, size: tuple[int, int]) -> np.ndarray:
        """(H, W) bool, of the picture's size."""
        source = Encoded("mask", data)
        self._check_size(look(source)[1])
        if not form.resize_mask:
            return read_mask(source, size, invert=form.invert_mask)
        mask = open_image(source, note=silent)
        # Rounded to whole pixels, a reduced picture's sides are up to half a pixel off.
        if abs(mask.width * size[1] - mask.height * size[0]) > max(size):
            found = f"mask of {mask.width}x{mask.height} pixels for an image of {size[0]}x{size[1]}"
            raise InputError(f"{found}; accepted: a mask of the same proportions")
        hole = read_mask(source, mask.size, invert=form.invert_mask)
        return np.asarray(Image.fromarray(hole).resize(size, Image.Resampling.NEAREST))

    def _margins(self, form: OutpaintForm, size: tuple[int, int]) -> Margins:
        margins = parse_margins(size, form.left, form.top, form.right, form.bottom)
        if form.aspect:
            if margins.any:
                raise InputError("aspect together with margins; accepted: one or the other")
            margins = margins_for_aspect(size, form.aspect)
        if not margins.any:
            raise InputError("nothing to add; accepted: left, right, top, bottom or another aspect")
        self._check_size((size[0] + margins.left + margins.right, size[1] + margins.top + margins.bottom))
        return margins

    def _check_size(self, size: tuple[int, int]) -> None:
        if size[0] * size[1] > self.limits.pixels * 10**6:
            most = self.limits.pixels
            raise Refusal(413, f"A picture of {size[0]}x{size[1]} pixels; accepted: up to {most} million.")


@contextlib.contextmanager
def _refusing() -> Iterator[None]:
    """What is wrong with a picture, or too much for the machine, as an answer."""
    try:
        yield
    except InputError as error:
        raise Refusal(422, f"{str(error).removeprefix('--')}.") from None
    except MemoryError:
        raise Refusal(503, "Not enough memory for that now; try again later, or a smaller picture.", retry=5) from None
