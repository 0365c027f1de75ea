"""The application: the page at /, the endpoint below /v1, its description at /docs."""

from __future__ import annotations

import asyncio
import base64
import io
import threading
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path
from typing import Any

from fastapi import Depends, FastAPI, Request
from fastapi.security import HTTPBearer
from fastapi.staticfiles import StaticFiles
from fastapi_offline import FastAPIOffline
from PIL import Image
from pydantic import BaseModel
from starlette.concurrency import run_in_threadpool
from starlette.exceptions import HTTPException
from starlette.responses import FileResponse, JSONResponse, Response

from invertfill.errors import one_line
from invertfill.serve.forms import JSON, MULTIPART, AnyForm, FillForm, OutpaintForm, PreviewForm, read_form
from invertfill.serve.guard import Guard
from invertfill.serve.metrics import Metrics
from invertfill.serve.queue import Queue
from invertfill.serve.refusal import Refusal
from invertfill.serve.service import Result, Service
from invertfill.serve.settings import Limits, Settings

PAGE = Path(__file__).parent / "page"
NOTE, MODEL, WHY = "X-InvertFill-Note", "X-InvertFill-Model", "X-InvertFill-Why"
REFUSALS = {
    400: "The body is damaged.",
    401: "The token is missing or wrong.",
    413: "Too long, or too many pixels.",
    415: "The body's Content-Type is neither multipart/form-data nor application/json.",
    422: "A field or a file isn't accepted.",
    429: "Too many requests of one client at once.",
    503: "The queue is full, or the work took too long.",
}


class Refused(BaseModel):
    """What a request gets that isn't served: a sentence."""

    error: str


def create_app(settings: Settings) -> FastAPI:
    """Make the server's application.

    Raises:
        InputError: a model can't be loaded; see `invertfill.load`.
    """
    limits = settings.limits
    queue = Queue(limits)
    metrics = Metrics(lambda: queue.taken)
    service = Service(settings, metrics)

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        yield
        await run_in_threadpool(queue.close)

    app: FastAPI = FastAPIOffline(
        redoc_url=None,
        static_url="/docs-files",
        favicon_url="/page/icon.svg",
        title="InvertFill",
        version="v1",  # of the endpoint: which release answers is nobody's business
        description="Fills holes in pictures. Every known pixel stays as it was.",
        lifespan=lifespan,
        # For the description alone; the guard does the checking, before anything else.
        dependencies=[Depends(HTTPBearer(auto_error=False))] if settings.token else [],
    )
    app.add_middleware(Guard, settings=settings, metrics=metrics)
    app.mount("/page", StaticFiles(directory=PAGE), name="page")

    async def served(
        request: Request, kind: type[AnyForm], work: Callable[[AnyForm, threading.Event], Result]
    ) -> Result:
        client = request.client.host if request.client else ""
        try:
            with queue.place(client) as place:
                async with asyncio.timeout(limits.seconds):
                    form = await read_form(request, kind, limits)
                    return await queue.do(place, partial(work, form), _gone(request))
        except TimeoutError:
            raise Refusal(503, f"Not done within {limits.seconds:g} seconds; try a smaller picture.", retry=5) from None

    @app.get("/", include_in_schema=False)
    async def page() -> Response:
        return FileResponse(PAGE / "index.html", headers={"Cache-Control": "no-cache"})

    @app.get("/healthz", summary="Whether the server runs")
    async def health() -> dict[str, str]:
        return {"status": "ok"}

    @app.get("/metrics", summary="Counts and times, for Prometheus", response_class=Response)
    async def measured() -> Response:
        return Response(metrics.text(), media_type="text/plain; version=0.0.4; charset=utf-8")

    @app.get("/v1/models", summary="What can be asked for")
    async def models() -> dict[str, Any]:
        listed = [
            {"name": name, "domain": model.domain, "licence": model.licence, "pixels": model.size}
            if model
            else {
                "name": name,
                "domain": "photographs of anything, and faces by a model of their own",
                "licence": "",
                "pixels": 0,
            }
            for name, model in service.models.items()
        ]
        most = {"upload": limits.upload * 10**6, "pixels": limits.pixels * 10**6, "samples": limits.samples}
        return {"models": listed, "limits": most}

    def described(form: type[PreviewForm], example: dict[str, str]) -> dict[str, Any]:
        return _described(form, example, list(service.models), limits)

    @app.post("/v1/fill", **described(FillForm, {"image": _example(False), "mask": _example(True)}))
    async def fill(request: Request) -> Response:
        return _answer(request, await served(request, FillForm, service.fill))

    @app.post("/v1/outpaint", **described(OutpaintForm, {"image": _example(False), "right": "50%"}))
    async def outpaint(request: Request) -> Response:
        return _answer(request, await served(request, OutpaintForm, service.outpaint))

    @app.post("/v1/preview", **described(PreviewForm, {"image": _example(False)}))
    async def preview(request: Request) -> Response:
        """For pictures that browsers can't show: WebP, sRGB, made smaller."""
        return _answer(request, await served(request, PreviewForm, service.preview))

    @app.exception_handler(Refusal)
    async def refused(_: Request, refusal: Refusal) -> Response:
        return refusal.answer()

    @app.exception_handler(HTTPException)
    async def not_served(_: Request, error: HTTPException) -> Response:
        sentence = {404: "There is nothing here.", 405: "This address isn't asked that way."}
        return JSONResponse({"error": sentence.get(error.status_code, "Not served.")}, error.status_code, error.headers)

    @app.exception_handler(Exception)
    async def failed(_: Request, error: Exception) -> Response:
        return JSONResponse({"error": "Something went wrong here; the server's own output says what."}, 500)

    return app


async def _gone(request: Request) -> None:
    """Ends when the client closes the connection, after the body has been read."""
    while (await request.receive())["type"] != "http.disconnect":
        pass


def _answer(request: Request, result: Result) -> Response:
    """JSON where there are several pictures or it was asked for; else the picture itself."""
    if len(result.pictures) == 1 and JSON not in request.headers.get("accept", ""):
        (picture,) = result.pictures
        said = {NOTE: "; ".join(result.notes), MODEL: result.model, WHY: result.why}
        headers = {name: one_line(text).encode("ascii", "replace").decode() for name, text in said.items() if text}
        return Response(picture.data, media_type=picture.type, headers=headers)
    return Response(result.model_dump_json(), media_type=JSON)


def _described(form: type[PreviewForm], example: dict[str, str], models: list[str], limits: Limits) -> dict[str, Any]:
    """Of a route that reads its body itself: summary, body and answers for OpenAPI."""
    binary = {"type": "string", "format": "binary"}
    written = form.model_json_schema()
    fields = written["properties"]
    for name in {"model", "samples"} & fields.keys():
        fields[name] |= {"enum": models} if name == "model" else {"maximum": limits.samples}
        fields[name].pop("default")
    files = {name: {**binary, "description": fields[name]["description"]} for name in {"image", "mask"} & fields.keys()}
    uploaded = {**written, "properties": {**fields, **files}}
    body = {MULTIPART: {"schema": uploaded}, JSON: {"schema": written, "example": example}}
    return {
        "summary": (form.__doc__ or "").rstrip("."),
        "response_class": Response,
        "openapi_extra": {"requestBody": {"required": True, "content": body}},
        "responses": {
            200: {"description": "The picture, or JSON.", "content": {"image/*": {"schema": binary}}, "model": Result},
            **{status: {"description": meaning, "model": Refused} for status, meaning in REFUSALS.items()},
        },
    }


def _example(hole: bool) -> str:
    """A picture of 16 pixels a side, or a mask for it, as base64 of a PNG: an example that runs."""
    picture = Image.linear_gradient("L").resize((16, 16)).convert("RGB")
    if hole:
        picture = Image.new("L", (16, 16))
        picture.paste(255, (5, 5, 11, 11))
    data = io.BytesIO()
    picture.save(data, "PNG")
    return base64.b64encode(data.getvalue()).decode()
