"""InvertFill: fill the holes of a picture by inverting a generator.

>>> import invertfill
>>> invertfill.load().fill("photo.png", "mask.png").save("filled.png")  # doctest: +SKIP

Importing this package imports neither torch nor NumPy: everything heavy is loaded on first use.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from invertfill.errors import InputError, InvertFillWarning

if TYPE_CHECKING:
    from pathlib import Path

    from invertfill.pipeline.inpainter import Inpainter

__version__ = "0.1.0"
__all__ = ["Inpainter", "InputError", "InvertFillWarning", "__version__", "load"]


def load(
    model: str | Path = "auto",
    *,
    device: str = "auto",
    engine: str = "auto",
    quality: str = "fast",
    context: float | None = None,
) -> Inpainter:
    """Open a model.

    Args:
        model: "auto" decides for each picture (see `invertfill.pipeline.selection`); else a name that
            ``invertfill models`` lists, or the folder of a model written by ``invertfill export``.
        device: "auto", "cpu", "cuda" or "mps".
        engine: "onnx" (ONNX Runtime), "openvino" (extra ``openvino``: slower to open, faster from then on where the
            processor has bfloat16), "torch" (extra ``train``) or "auto": ONNX Runtime wherever it can serve the device,
            else torch.
        quality: "fast", or "best": the encoder's code is improved for each picture by gradient descent on its known
            pixels. Takes seconds, and torch.
        context: side of the square around holes that is looked at, in sides of the holes; 1 or more. None: what serves
            the model, about 2.

    Raises:
        InputError: the model is unknown or damaged, or the engine or device is not available.
    """
    from invertfill.pipeline.inpainter import open_inpainter

    return open_inpainter(model, engine=engine, device=device, quality=quality, context=context)


def __getattr__(name: str) -> Any:
    if name == "Inpainter":
        from invertfill.pipeline.inpainter import Inpainter

        return Inpainter
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
