"""What a fill can be asked for. Each option is declared here, once; every door takes it from here.

The command line makes its options of these (cli/options.py), the HTTP endpoint its fields (serve/forms.py), `batch`
keeps what decides a result, and Python takes the names as keywords. Imports nothing heavy.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass, fields, replace
from typing import Annotated, Any, TypeAlias, get_args, get_type_hints

from invertfill.errors import InputError

AUTO = "auto"
Box: TypeAlias = tuple[int, int, int, int]  # left, top, width, height, in pixels


def parse_boxes(given: Any) -> tuple[Box, ...]:
    """Boxes as they come: "X,Y,W,H", several with a semicolon between; four numbers; or a list of either.

    Raises:
        InputError: anything else, or a box without width or height.
    """
    if isinstance(given, str):
        given = [part for part in given.split(";") if part.strip()]
    try:
        given = list(given)
        if len(given) == 4 and not any(isinstance(part, str | Sequence) for part in given):
            given = [given]
        texts = [one if isinstance(one, str) else ",".join(map(str, one)) for one in given]
        boxes = tuple((int(x), int(y), int(w), int(h)) for x, y, w, h in (text.split(",") for text in texts))
    except (TypeError, ValueError):
        raise InputError(f"box {given!r}; accepted: X,Y,W,H in whole pixels") from None
    for box in boxes:
        if min(box[2:]) < 1 or max(map(abs, box)) > FARTHEST:
            raise InputError(f"box {','.join(map(str, box))}; accepted: X,Y,W,H with W and H of 1 or more")
    return boxes


FARTHEST = 10**6  # pixels: no picture has a longer side


@dataclass(frozen=True)
class Option:
    """What is known of one option beside its type and default.

    Attributes:
        help: one or two sentences for the user.
        unit: what its value is, in one word of capitals, for the command line's help.
        choices: the values accepted; () for any.
        low, high: the least and the largest number accepted.
        at_load: decided when the model is loaded; the same for all pictures from then on.
        decides: another value may give another picture.
        doors: where users meet it beside Python: "cli" and "http".
        parse: makes of what is given what the option holds, where that isn't the same; raises InputError. Such an
            option may be given several times.
        of_hole: about the hole that is given; where none is, it is not taken.
    """

    help: str
    unit: str = ""
    choices: tuple[str, ...] = ()
    low: float | None = None
    high: float | None = None
    at_load: bool = False
    decides: bool = True
    doors: tuple[str, ...] = ("cli", "http")
    parse: Callable[[Any], Any] | None = None
    of_hole: bool = False


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
            "auto: the general model, and the one for portraits where a hole touches a face; or a name that "
            "`invertfill models` lists, or a model's folder.",
            at_load=True,
            unit="NAME|FOLDER",
        ),
    ] = AUTO
    seed: Annotated[
        int,
        Option("0 fills from the mean latent; each other seed gives another fill.", low=0, high=2**32 - 1, unit="SEED"),
    ] = 0
    samples: Annotated[
        int,
        Option(
            "How many different fills to make; their seeds count up from the first.", low=1, decides=False, unit="COUNT"
        ),
    ] = 1
    invert_mask: Annotated[bool, Option("Black = hole.", of_hole=True)] = False
    resize_mask: Annotated[
        bool,
        Option("A mask of another size than the picture, but of its proportions, is brought to it.", of_hole=True),
    ] = False
    box: Annotated[
        tuple[Box, ...],
        Option(
            "A hole of W by H pixels whose left top corner is X to the right and Y down: X,Y,W,H. Can be given several "
            "times, without a mask or with one.",
            parse=parse_boxes,
            of_hole=True,
            unit="X,Y,W,H",
        ),
    ] = ()
    grow: Annotated[
        int,
        Option(
            "Pixels by which holes are made larger all round, for a mask that is too tight.",
            low=0,
            of_hole=True,
            unit="PIXELS",
        ),
    ] = 0
    feather: Annotated[
        int,
        Option(
            "Pixels outside holes over which a fill fades into what is known. Farther out nothing changes.",
            low=0,
            of_hole=True,
            unit="PIXELS",
        ),
    ] = 0
    context: Annotated[
        float | None,
        Option(
            "Side of the square around holes that is looked at, in sides of the holes; without it, about 2.",
            low=1,
            unit="SIDES",
        ),
    ] = None
    faces: Annotated[
        str,
        Option(
            "auto: where a hole touches a face and the model is auto, the model for portraits fills it; off: no faces "
            "are looked for.",
            choices=(AUTO, "off"),
        ),
    ] = AUTO
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
        Option(
            "What computes. cuda, directml and coreml need the ONNX Runtime that has them (onnxruntime-gpu, "
            "onnxruntime-directml; on a Mac any); cuda and mps work with engine torch, too. auto: the CPU with ONNX "
            "Runtime, the best there is with torch.",
            choices=(AUTO, "cpu", "cuda", "mps", "directml", "coreml"),
            at_load=True,
            decides=False,
        ),
    ] = AUTO
    output_quality: Annotated[
        int | None,
        Option(
            "Quality at which a JPEG, WebP, AVIF or HEIC is written; 100 is a WebP without loss. Without it, much like "
            "the picture's own file, and high where that has none.",
            low=1,
            high=100,
            unit="QUALITY",
        ),
    ] = None
    keep_raw: Annotated[bool, Option("Keep what the model draws, before blending.", decides=False, doors=())] = False

    def __post_init__(self) -> None:
        for name, option in DECLARED.items():
            value = getattr(self, name)
            if option.parse:
                object.__setattr__(self, name, option.parse(value))
            if TYPES[name] is int and (isinstance(value, bool) or not hasattr(value, "__index__")):
                raise InputError(f"{name} {value!r}; accepted: a whole number")
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
TYPES: dict[str, Any] = get_type_hints(FillOptions)
OF_HOLE = tuple(name for name, option in DECLARED.items() if option.of_hole)
DEFAULTS: dict[str, Any] = {field.name: field.default for field in fields(FillOptions)}
FillOptions.__init__.__annotations__ |= {name: TYPES[name] for name in DECLARED}  # for help()
FillOptions.__doc__ = (
    f"{FillOptions.__doc__}".rstrip()
    + "\n"
    + "\n".join(f"        {name}: {option.help} Default: {DEFAULTS[name]}." for name, option in DECLARED.items())
)


def type_of(name: str) -> Any:
    """An option's type, such as str or float | None."""
    return TYPES[name]
