"""What /docs and /openapi.json say: in words, by examples that run, and of every answer that isn't a picture."""

from __future__ import annotations

import inspect
import json
from typing import Any

from pydantic import BaseModel
from starlette.responses import Response

from invertfill.serve.forms import JSON, LINES, MULTIPART, PreviewForm
from invertfill.serve.service import Result
from invertfill.serve.settings import Limits

ABOUT = """
Fills holes in pictures. Every known pixel stays as it was.

**Try it**: press *Execute* below. The examples name a picture that comes with the server, so they need no file.
The same from a shell, with your own files or without any:

```sh
curl http://127.0.0.1:8000/v1/fill -F image=@photo.jpg -F mask=@mask.png -o filled.jpg
curl http://127.0.0.1:8000/v1/fill -F image=example:astronaut -F box=72,96,116,40 -o filled.png
```

A body is `multipart/form-data`, or JSON with the files as base64. The answer is the picture. With `samples` above 1, or
`Accept: application/json`, it is JSON with the pictures as base64. With `Accept: application/x-ndjson`, each picture is
a line of JSON, sent as soon as it is made; where that ends early, the last line is the error.

Options that you don't give are what they are at the command line and on the [page](/).

An answer that is no picture is `{"error": "one sentence"}`. Every operation lists its statuses. Besides, any address
may answer 404 (there is nothing here) and 405 (asked by the wrong method).
"""
TAGS = [
    {"name": "Pictures", "description": "Send a picture, get a picture."},
    {"name": "Server", "description": "What it offers, and how it does."},
]
GUARDED = {  # any address may answer so, but those that need no token never 401
    401: (
        "The token is missing or wrong.",
        "This server asks for its token, as a header: Authorization: Bearer TOKEN.",
    ),
    403: (
        "The request comes from another site's page, or by an unknown host name.",
        "Pages of other sites may not use this server.",
    ),
}
REFUSALS = {
    400: ("The body is damaged.", "The body is no JSON object."),
    **GUARDED,
    413: ("The body is too long, or the picture has too many pixels.", "More than 50 MB; accepted: up to that."),
    415: (
        "The body is neither multipart/form-data nor JSON.",
        f"The body's Content-Type has to be {MULTIPART} or {JSON}.",
    ),
    422: ("A field or a file isn't accepted.", "image: not an image."),
    429: (
        "You have too many requests under way. Retry-After says when to try again.",
        "8 requests of yours are under way; wait until one is done.",
    ),
    500: ("A fault of the server.", "Something went wrong here; the server's own output says what."),
    503: (
        "The queue is full, the work took too long, or memory is short. Retry-After says when to try again.",
        "All workers are busy and the queue is full; try again in a moment.",
    ),
}
BINARY = {"type": "string", "format": "binary"}


class Refused(BaseModel):
    """What a request gets that isn't served: a sentence."""

    error: str


class Model(BaseModel):
    """What fills.

    Attributes:
        pixels: of a side of what the model looks at; 0 where any size will do.
    """

    name: str
    domain: str
    licence: str
    pixels: int


class Most(BaseModel):
    """Of one request.

    Attributes:
        upload: bytes.
        pixels: of a picture that comes in or would go out.
        samples: fills.
    """

    upload: int
    pixels: int
    samples: int


class Offer(BaseModel):
    """The models, the default first, and the limits."""

    models: list[Model]
    limits: Most


def refusals(which: dict[int, tuple[str, str]]) -> dict[int | str, dict[str, Any]]:
    """Of a route, by status."""
    return {
        status: {"description": meaning, "model": Refused, "content": {JSON: {"example": {"error": sentence}}}}
        for status, (meaning, sentence) in which.items()
    }


def described(
    form: type[PreviewForm], example: dict[str, Any], told: dict[str, str], models: list[str], limits: Limits
) -> dict[str, Any]:
    """Of a route that reads its body itself: summary, body and answers.

    Args:
        example: of a body in JSON.
        told: the headers of an answer that is a picture, and what they say.
    """
    written = form.model_json_schema()
    given = written["properties"]
    fields = {name: given[name] for name in ("image", "mask") if name in given} | given
    written["properties"] = fields
    summary, _, text = inspect.cleandoc(form.__doc__ or "").partition("\n\n")
    if "model" in fields:
        fields["model"] |= {"enum": models}
        fields["model"].pop("default")
        fields["samples"] |= {"maximum": limits.samples}
    files = {name: {**BINARY, "description": fields[name]["description"]} for name in {"image", "mask"} & fields.keys()}
    uploaded = {**written, "properties": {**fields, **files}}
    body = {JSON: {"schema": written, "example": example}, MULTIPART: {"schema": uploaded}}
    headers = {name: {"description": text, "schema": {"type": "string"}} for name, text in told.items()}
    picture = {
        "description": "The picture, or JSON.",
        "content": {"image/*": {"schema": BINARY}, LINES: {}},
        "model": Result,
    }
    return {
        "tags": ["Pictures"],
        "summary": summary.rstrip("."),
        "description": f"{text}\n\n{_table(fields)}",
        "response_class": Response,
        "openapi_extra": {"requestBody": {"required": True, "content": body}},
        "responses": {200: {**picture, "headers": headers}, **refusals(REFUSALS)},
    }


def _table(fields: dict[str, dict[str, Any]]) -> str:
    """In Markdown, as Swagger UI shows no description of a body's fields while it lets you edit the body."""
    rows = ["| field | default | what |", "|---|---|---|"]
    for name, field in fields.items():
        default = "" if field.get("default") in (None, []) else f"`{json.dumps(field['default'])}`"
        accepted = f" One of: {', '.join(field['enum'])}." if "enum" in field else ""
        rows.append(f"| `{name}` | {default} | {field['description']}{accepted} |")
    return "\n".join(rows)
