"""What the page asks for, answered in the browser as serve/service.py answers it over HTTP. Runs in Pyodide alone."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator, Mapping
from functools import lru_cache
from typing import Any

from PIL import Image

from invertfill.browser import onnxruntime_web
from invertfill.errors import InputError
from invertfill.imaging.formats import media_type
from invertfill.imaging.preview import PREVIEW_SUFFIX, encode_preview
from invertfill.imaging.reading import look, open_image
from invertfill.imaging.sources import Encoded
from invertfill.notes import Notes
from invertfill.options import DECLARED, FillOptions
from invertfill.pipeline.result import FillResult

sys.modules["onnxruntime"] = onnxruntime_web  # type: ignore[assignment]

from invertfill.pipeline.inpainter import Inpainter, open_inpainter  # noqa: E402  imports onnxruntime

MARGINS = ("left", "top", "right", "bottom", "aspect")
_inpainter = lru_cache(maxsize=1)(lambda model: open_inpainter(FillOptions(model)))  # one in memory at a time


def warm(model: str) -> None:
    """Open a model."""
    _inpainter(model)


def answer(path: str, model: str, fields: Any, told: Callable[[dict[str, Any]], object]) -> str:
    """Do what the page asks for.

    Args:
        path: "fill", "outpaint" or "preview".
        fields: by name, as the page has them; see `invertfill.serve.forms`.
        told: gets each picture as it is made: a file's bytes as "data", its media "type", and what is said of it.

    Returns:
        Why that can't be done; "" where it was.
    """
    given = {name: bytes(value) if isinstance(value, memoryview) else value for name, value in fields.items()}
    try:
        for made in _made(path, model, given):
            told(made)
    except InputError as error:
        return f"{error}."
    return ""


def _made(path: str, model: str, fields: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    source = Encoded("image", fields["image"])
    if path == "preview":
        data, _ = encode_preview(source, Notes())
        yield _picture(data, PREVIEW_SUFFIX)
        return
    inpainter = _inpainter(model)
    options = {name: fields[name] for name in DECLARED if name in fields}
    results, opened = _fills(inpainter, source, fields.get("mask"), options), Notes()
    if path == "outpaint":
        margins = {name: fields[name] for name in MARGINS if name in fields}
        results = _extended(inpainter, open_image(source, note=opened), margins, options)
    suffix, _ = look(source)
    said: set[str] = set()
    for result in results:
        notes = Notes()
        notes(*opened, *result.notes)
        data = result.encode(f"image{suffix}", note=notes)
        yield _picture(data, suffix, result, [note for note in notes if note not in said])
        said.update(notes)


def _fills(inpainter: Inpainter, source: Encoded, mask: bytes | None, options: dict[str, Any]) -> Iterator[FillResult]:
    return inpainter.iter_samples(source, None if mask is None else Encoded("mask", mask), batch=1, **options)


def _extended(
    inpainter: Inpainter, picture: Image.Image, margins: dict[str, Any], options: dict[str, Any]
) -> Iterator[FillResult]:
    for seed in inpainter.options.changed(**options).seeds:
        yield inpainter.outpaint(picture, **margins, **options | {"seed": seed, "samples": 1})


def _picture(
    data: bytes, suffix: str, result: FillResult | None = None, notes: list[str] | None = None
) -> dict[str, Any]:
    model, why = (result.model, result.why) if result else ("", "")
    return {"data": data, "type": media_type(suffix), "model": model, "why": why, "notes": notes or []}
