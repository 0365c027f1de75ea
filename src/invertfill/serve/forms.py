"""What a request says, from a multipart body or a JSON one. Nothing of it is ever written to a disk."""

from __future__ import annotations

import base64
import sys
from collections.abc import AsyncGenerator, Callable
from pathlib import Path
from typing import Annotated, Any, Literal, TypeVar

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError, WithJsonSchema, create_model
from starlette.datastructures import UploadFile
from starlette.formparsers import MultiPartParser
from starlette.requests import ClientDisconnect, Request

from invertfill.errors import one_line
from invertfill.options import DECLARED, DEFAULTS, OF_HOLE, type_of
from invertfill.serve.refusal import GONE, Refusal
from invertfill.serve.settings import Limits

MULTIPART, JSON, LINES = "multipart/form-data", "application/json", "application/x-ndjson"
PAGE = Path(__file__).parent / "page"
SHIPPED = "example:"  # stands before the name of a picture that comes with the page
EXAMPLES = {name: PAGE / f"{name}.png" for name in ("astronaut", "hopper")}
FIELDS = 100  # of a form, which has fewer, but for boxes
TEXTS = {"type": "array", "items": {"type": "string"}}  # of an option that may be given several times


def _decode(value: object) -> object:
    """Base64, with or without what a data: address has before it; or one of the `EXAMPLES`."""
    if not isinstance(value, str):
        return value
    if value.startswith(SHIPPED):
        if (name := value.removeprefix(SHIPPED)) not in EXAMPLES:
            raise ValueError(f"no such example; accepted: {', '.join(EXAMPLES)}")
        return EXAMPLES[name].read_bytes()
    text = value.partition(",")[2] if value.startswith("data:") else value
    try:
        return base64.b64decode(text, validate=True)
    except ValueError:
        raise ValueError("not base64") from None


File = Annotated[bytes, BeforeValidator(_decode), WithJsonSchema({"type": "string", "contentEncoding": "base64"})]
Margin = Annotated[str, Field(pattern=r"^(\d{1,6}|\d{1,4}(\.\d{1,3})?%)$", examples=["120", "25%"])]


MARGIN = "Pixels to add, or a share of the picture's side: 120, 25%."
AnyForm = TypeVar("AnyForm", bound="PreviewForm")


def _with_options(*but: str) -> Callable[[type[AnyForm]], type[AnyForm]]:
    """Add the options that a request can change to a form, except some."""

    def add(form: type[AnyForm]) -> type[AnyForm]:
        fields: dict[str, Any] = {}
        for name, option in DECLARED.items():
            if "http" in option.doors and not option.at_load and name not in (*but, *form.model_fields):
                kind = Literal[option.choices] if option.choices else type_of(name)
                if option.parse:
                    kind = Annotated[kind, BeforeValidator(option.parse), WithJsonSchema(TEXTS)]
                fields[name] = kind, Field(DEFAULTS[name], ge=option.low, le=option.high, description=option.help)
        return create_model(form.__name__, __base__=form, __doc__=form.__doc__, **fields)

    return add


class PreviewForm(BaseModel):
    """A picture to be looked at.

    For what browsers can't show: a WebP of at most 2048 pixels a side, in sRGB.
    """

    model_config = ConfigDict(extra="forbid")

    image: File = Field(
        description="A JPEG, PNG, WebP, TIFF, BMP, AVIF, GIF or HEIC; or example:astronaut, example:hopper."
    )


class Form(PreviewForm):
    """What fill and outpaint have in common."""

    model: str = Field("", min_length=1, description="A name from /v1/models; without it, the first of them.")
    format: Literal["same", "png", "jpeg", "webp"] = Field("same", description="same: the picture's own format.")

    @property
    def options(self) -> dict[str, Any]:
        """Those that the request gives, but the model; see `FillOptions`."""
        return self.model_dump(include=(DECLARED.keys() - {"model"}) & self.model_fields_set)


@_with_options()
class FillForm(Form):
    """Fill the holes of a picture.

    White in the mask is hole. Of a file with several pages or frames, all are filled.
    """

    mask: File | None = Field(
        None, description="White = hole. Without it and boxes, the hole is where the picture is transparent."
    )


@_with_options("context", *OF_HOLE)
class OutpaintForm(Form):
    """Draw what lies beyond a picture's sides.

    Say how much to add at each side, or which proportions the picture is to have. Of a file with several pages or
    frames, the first is taken, with a note.
    """

    left: Margin = Field("0", description=MARGIN)
    right: Margin = Field("0", description=MARGIN)
    top: Margin = Field("0", description=MARGIN)
    bottom: Margin = Field("0", description=MARGIN)
    aspect: str = Field(
        "",
        pattern=r"^\d{1,4}(\.\d{1,3})?:\d{1,4}(\.\d{1,3})?$",
        description="Instead of margins: 16:9.",
        examples=["16:9"],
    )


async def read_form(request: Request, kind: type[AnyForm], limits: Limits) -> AnyForm:
    """Read a request's body.

    Raises:
        Refusal: 400 a damaged body, 413 too long, 415 neither multipart nor JSON, 422 what the form doesn't accept;
            the client has gone.
    """
    content = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    body = _limited(request, limits.upload)
    try:
        if content == MULTIPART:
            return kind.model_validate(await _read_multipart(request, body))
        if content == JSON:
            return kind.model_validate_json(b"".join([chunk async for chunk in body]), strict=True)
    except ValidationError as error:
        problem = error.errors(include_url=False, include_context=False, include_input=False)[0]
        if problem["type"] == "json_invalid":
            raise Refusal(400, "The body is no JSON object.") from None
        where = ".".join(map(str, problem["loc"])) or "body"
        raise Refusal(422, f"{one_line(where)}: {one_line(problem['msg'])}.") from None
    raise Refusal(415, f"The body's Content-Type has to be {MULTIPART} or {JSON}.")


class _InMemory(MultiPartParser):
    """The limit on the body is one on memory too, so files need not be put down on a disk."""

    spool_max_size = sys.maxsize


async def _read_multipart(request: Request, body: AsyncGenerator[bytes, None]) -> dict[str, Any]:
    try:
        form = await _InMemory(request.headers, body, max_files=2, max_fields=FIELDS).parse()
    except Refusal:
        raise
    except Exception:  # the parser raises its own, KeyError and UnicodeError
        raise Refusal(400, "The multipart body is damaged, or holds more than the form has fields.") from None
    fields: dict[str, Any] = {}
    for name, value in form.multi_items():
        if name in DECLARED and DECLARED[name].parse:
            fields.setdefault(name, []).append(value)
        else:
            fields[name] = await value.read() if isinstance(value, UploadFile) else value
    await form.close()
    return fields


async def _limited(request: Request, megabytes: int) -> AsyncGenerator[bytes, None]:
    too_long = Refusal(413, f"More than {megabytes} MB; accepted: up to that.")
    announced = request.headers.get("content-length", "0")
    if announced.isdecimal() and int(announced) > megabytes * 10**6:
        raise too_long
    received = 0
    try:
        async for chunk in request.stream():
            received += len(chunk)
            if received > megabytes * 10**6:
                raise too_long
            yield chunk
    except ClientDisconnect:
        raise Refusal(GONE, "The client has gone.") from None
