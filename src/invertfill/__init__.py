"""InvertFill: fill the holes of a picture by inverting a generator.

>>> import invertfill
>>> invertfill.load().fill("photo.png", "mask.png").save("filled.png")  # doctest: +SKIP

=================================  =====================================================================
`load`                             opens a model: an `Inpainter`
`Inpainter.fill`                   fills the holes of one picture: a `FillResult`
`Inpainter.fill_samples`           fills them in several ways: a list; `iter_samples`, one after the other
`Inpainter.fill_many`              fills many pictures: a list; `iter_many`, one after the other
`Inpainter.outpaint`               draws what lies beyond a picture's sides
`FillResult.save`, `.image`        the picture, as a file or a PIL image
`FillOptions`                      what `load` and the fills take as keywords, such as ``seed=7``
`Client`                           asks a server that ``invertfill serve`` runs
`InputError`                       what is raised for a bad input, in one line
=================================  =====================================================================

Pictures and masks are paths, bytes, open files, PIL images or arrays. Importing this package imports neither torch nor
NumPy: everything is loaded on first use.
"""

from __future__ import annotations

import os
from importlib import import_module

from invertfill.errors import InputError

# From 1.29 on, ONNX Runtime tells its makers about each model that is run, unless this is set before it is imported.
os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")

TYPE_CHECKING = False  # that of typing takes longer to import than all else here
if TYPE_CHECKING:
    from pathlib import Path
    from typing import Any

    from invertfill.client import Client
    from invertfill.options import FillOptions
    from invertfill.pipeline.inpainter import Inpainter
    from invertfill.pipeline.result import FillResult

__version__ = "0.1.0"
__all__ = ["Client", "FillOptions", "FillResult", "Inpainter", "InputError", "__version__", "load"]

_LAZY = {
    "Client": "client",
    "FillOptions": "options",
    "FillResult": "pipeline.result",
    "Inpainter": "pipeline.inpainter",
}


def load(model: str | Path = "auto", **options: Any) -> Inpainter:
    """Open a model.

    Args:
        model: "auto", the general model with the one of portraits for faces; or a name that ``invertfill models``
            lists, or the folder of a model written by ``invertfill export``.
        options: of all fills; the names and values of `FillOptions`, such as ``quality="best"``. A call of `fill` can
            change those that don't need another model, such as ``seed=7``.

    Raises:
        InputError: the model is unknown or damaged, an option isn't accepted, or the engine or device isn't available.
    """
    from invertfill.options import FillOptions
    from invertfill.pipeline.inpainter import open_inpainter

    return open_inpainter(FillOptions(str(model), **options))


def __getattr__(name: str) -> Any:
    if name in _LAZY:
        return getattr(import_module(f"invertfill.{_LAZY[name]}"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return __all__
