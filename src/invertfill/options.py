"""What a fill can be asked for. Each option is declared here, once; every door takes it from here.

The command line makes its options of these (cli/options.py), the HTTP endpoint its fields (serve/forms.py), `batch`
keeps what decides a result, and Python takes the names as keywords. Imports nothing heavy.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import asdict, dataclass, fields, replace
from types import NoneType
from typing import Annotated, Any, get_args, get_type_hints

from invertfill.errors import InputError

AUTO = "auto"


@dataclass(frozen=True)
class Option:
    """What is known of one option beside its type and default.

    Attributes:
        help: one or two sentences for the user.
        choices: the values accepted; () for any.
        low, high: the least and the largest number accepted.
        at_load: decided when the model is loaded; the same for all pictures from then on.
        decides: another value may give another picture.
        doors: where users meet it beside Python: "cli" and "http".
    """

    help: str
    choices: tuple[str, ...] = ()
    low: float | None = None
    high: float | None = None
    at_load: bool = False
    decides: bool = True
    doors: tuple[str, ...] = ("cli", "http")


@dataclass(frozen=True)
class FillOptions:
    """How pictures are filled. Checked when it is made.

    Raises:
        InputError: a value that isn't accepted.

    Attributes:
    """

    model: Annotated[
        str,
        Option(
            "auto decides for each picture; or a name that `invertfill models` lists, or a model's folder.",
            at_load=True,
        ),
    ] = AUTO
    seed: Annotated[
        int,
        Option("0 fills from the mean latent; each other seed gives another fill.", low=0, high=2**32 - 1),
    ] = 0
    samples: Annotated[
        int, Option("So many fills that differ, by seeds from the first one on.", low=1, decides=False)
    ] = 1
    invert_mask: Annotated[bool, Option("Black = hole.")] = False
    context: Annotated[
        float | None,
        Option("Side of the square around holes that is looked at, in sides of the holes; without it, about 2.", low=1),
    ] = None
    blend: Annotated[
        str,
        Option(
            "How a fill meets the known pixels: membrane shifts it smoothly to their colours, rim does so within 4 "
            "pixels, none leaves it as drawn. auto: what the model was trained with.",
            choices=(AUTO, "membrane", "rim", "none"),
        ),
    ] = AUTO
    quality: Annotated[
        str,
        Option(
            "fast, or best: the code is improved for each hole; takes seconds more, and torch (the train extra).",
            choices=("fast", "best"),
            at_load=True,
        ),
    ] = "fast"
    engine: Annotated[
        str,
        Option(
            "onnx (ONNX Runtime), openvino (extra openvino), torch (extra train), or auto: ONNX Runtime where it "
            "serves the device, else torch.",
            choices=(AUTO, "onnx", "openvino", "torch"),
            at_load=True,
            decides=False,
        ),
    ] = AUTO
    device: Annotated[
        str,
        Option("auto, cpu, cuda or mps.", choices=(AUTO, "cpu", "cuda", "mps"), at_load=True, decides=False),
    ] = AUTO
    output_quality: Annotated[
        int | None,
        Option(
            "Quality at which a JPEG, WebP, AVIF or HEIC is written; 100 is a WebP without loss. Without it, much like "
            "the picture's own file, and high where that has none.",
            low=1,
            high=100,
        ),
    ] = None
    keep_raw: Annotated[bool, Option("Keep what the model draws, before blending.", decides=False, doors=())] = False

    def __post_init__(self) -> None:
        for name, option in DECLARED.items():
            value = getattr(self, name)
            if option.choices and value not in option.choices:
                raise InputError(f"{name} {value!r}; accepted: {', '.join(option.choices)}")
            if value is not None and option.low is not None and not option.low <= value <= (option.high or math.inf):
                upper = f" to {option.high}" if option.high else " or more"
                raise InputError(f"{name} {value}; accepted: {option.low}{upper}")

    @property
    def seeds(self) -> range:
        """Of the samples."""
        return range(self.seed, self.seed + self.samples)

    def changed(self, **changes: Any) -> FillOptions:
        """These with other values, of options that need no other model.

        Raises:
            InputError: an unknown name, one that was decided when the model was loaded, or a value not accepted.
        """
        for name in changes:
            if name not in DECLARED:
                raise InputError(f"option {name!r}; accepted: {', '.join(DECLARED)}")
            if DECLARED[name].at_load and changes[name] != getattr(self, name):
                raise InputError(f"{name}: decided when the model is loaded; accepted: load(..., {name}=...)")
        return replace(self, **changes)

    @property
    def deciding(self) -> dict[str, Any]:
        """Name and value of the options on which the picture depends, but the model."""
        return {name: value for name, value in asdict(self).items() if DECLARED[name].decides and name != "model"}


def _declared() -> Iterator[tuple[str, Option]]:
    for name, hint in get_type_hints(FillOptions, include_extras=True).items():
        yield name, next(extra for extra in get_args(hint)[1:] if isinstance(extra, Option))


DECLARED: dict[str, Option] = dict(_declared())
DEFAULTS: dict[str, Any] = {field.name: field.default for field in fields(FillOptions)}
FillOptions.__doc__ = f"{FillOptions.__doc__}" + "\n".join(
    f"        {name}: {option.help} Default: {DEFAULTS[name]}." for name, option in DECLARED.items()
)


def type_of(name: str) -> Any:
    """An option's type, such as str or float | None."""
    return get_type_hints(FillOptions)[name]


def optional(name: str) -> bool:
    """Whether an option may be None."""
    return NoneType in get_args(type_of(name))
