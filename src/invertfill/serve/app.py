"""The application: the page at /, the endpoint below /v1, its description at /docs."""

from __future__ import annotations

import asyncio
import json
import threading
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Iterator
from contextlib import aclosing, asynccontextmanager
from functools import partial
from pathlib import Path
from typing import Any, Literal, TypeAlias

import fastapi_offline
from fastapi import Depends, FastAPI, Request
from fastapi.security import HTTPBearer
from fastapi.staticfiles import StaticFiles
from starlette.concurrency import run_in_threadpool
from starlette.exceptions import HTTPException
from starlette.responses import FileResponse, JSONResponse, PlainTextResponse, Response, StreamingResponse

from invertfill.errors import one_line
from invertfill.options import AUTO
from invertfill.serve.description import ABOUT, GUARDED, TAGS, Model, Most, Offer, described, refusals
from invertfill.serve.forms import JSON, LINES, PAGE, AnyForm, FillForm, OutpaintForm, PreviewForm, read_form
from invertfill.serve.guard import Guard
from invertfill.serve.metrics import Metrics
from invertfill.serve.queue import Queue
from invertfill.serve.refusal import Refusal
from invertfill.serve.service import Result, Service
from invertfill.serve.settings import Settings

SWAGGER = Path(fastapi_offline.__file__).parent / "static"
NOTE, MODEL, WHY = "X-InvertFill-Note", "X-InvertFill-Model", "X-InvertFill-Why"
TOLD = {
    NOTE: "What was changed or guessed.",
    MODEL: "The model that filled.",
    WHY: "Why this one, where there was a choice.",
}
Work: TypeAlias = Callable[[AnyForm, threading.Event], Iterator[Result]]
ANY = Model(name=AUTO, domain="photographs of anything, and faces by a model of their own", licence="", pixels=0)


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

    app = FastAPI(
        docs_url=None,
        redoc_url=None,
        title="InvertFill",
        version="v1",  # of the endpoint: which release answers is nobody's business
        description=ABOUT,
        openapi_tags=TAGS,
        lifespan=lifespan,
        # For the description alone; the guard does the checking, before anything else.
        dependencies=[Depends(HTTPBearer(auto_error=False))] if settings.token else [],
    )
    app.add_middleware(Guard, settings=settings, metrics=metrics)
    app.mount("/page", StaticFiles(directory=PAGE), name="page")
    app.mount("/docs-files", StaticFiles(directory=SWAGGER), name="docs-files")

    async def results(request: Request, kind: type[AnyForm], work: Work[AnyForm]) -> AsyncGenerator[Result, None]:
        """What a request gets, a picture at a time."""
        client = request.client.host if request.client else ""
        ends = asyncio.get_running_loop().time() + limits.seconds
        try:
            with queue.place(client) as place:
                async with asyncio.timeout_at(ends):
                    form = await read_form(request, kind, limits)
                async with aclosing(queue.do(place, partial(work, form), _gone(request), ends)) as made:
                    async for result in made:
                        yield result
        except TimeoutError:
            raise Refusal(503, f"Not done within {limits.seconds:g} seconds; try a smaller picture.", retry=5) from None

    async def answer(request: Request, kind: type[AnyForm], work: Work[AnyForm]) -> Response:
        made = results(request, kind, work)
        if LINES not in request.headers.get("accept", ""):
            return _whole(request, Result.of([result async for result in made]))
        first = await anext(made)  # until then, a refusal has a status of its own
        return StreamingResponse(_lines(first, made), media_type=LINES)

    def page(name: str) -> Response:
        return FileResponse(PAGE / name, headers={"Cache-Control": "no-cache"})

    app.get("/", include_in_schema=False)(lambda: page("index.html"))
    app.get("/docs", include_in_schema=False)(lambda: page("docs.html"))

    def picture(form: type[PreviewForm], example: dict[str, Any], told: dict[str, str] = TOLD) -> dict[str, Any]:
        example = {"image": "example:astronaut", **example}
        return described(form, example, told, list(service.models), limits)

    @app.post("/v1/fill", **picture(FillForm, {"box": ["72,96,116,40"]}))
    async def fill(request: Request) -> Response:
        return await answer(request, FillForm, service.fill)

    @app.post("/v1/outpaint", **picture(OutpaintForm, {"right": "50%"}))
    async def outpaint(request: Request) -> Response:
        return await answer(request, OutpaintForm, service.outpaint)

    @app.post("/v1/preview", **picture(PreviewForm, {}, {NOTE: TOLD[NOTE]}))
    async def preview(request: Request) -> Response:
        return await answer(request, PreviewForm, service.preview)

    server: dict[str, Any] = {"tags": ["Server"], "responses": refusals(GUARDED)}
    public: dict[str, Any] = {"tags": ["Server"], "responses": refusals({403: GUARDED[403]})}

    @app.get("/v1/models", summary="What can be asked for", **server)
    async def models() -> Offer:
        """The models, the default first, and the limits of one request."""
        listed = [
            Model(name=name, domain=model.domain, licence=model.licence, pixels=model.size) if model else ANY
            for name, model in service.models.items()
        ]
        most = Most(upload=limits.upload * 10**6, pixels=limits.pixels * 10**6, samples=limits.samples)
        return Offer(models=listed, limits=most)

    @app.get("/healthz", summary="Whether the server runs", **public)
    async def health() -> dict[str, Literal["ok"]]:
        """Needs no token."""
        return {"status": "ok"}

    @app.get("/metrics", summary="Counts and times", response_class=PlainTextResponse, **server)
    async def measured() -> Response:
        """In the text format of Prometheus."""
        return Response(metrics.text(), media_type="text/plain; version=0.0.4; charset=utf-8")

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


async def _lines(first: Result, rest: AsyncGenerator[Result, None]) -> AsyncIterator[str]:
    """Each result as a line of JSON; where it ends early, the last line says why."""
    yield f"{first.model_dump_json()}\n"
    try:
        async with aclosing(rest):
            async for result in rest:
                yield f"{result.model_dump_json()}\n"
    except Refusal as refusal:
        yield f"{json.dumps({'error': str(refusal)})}\n"


def _whole(request: Request, result: Result) -> Response:
    """JSON where there are several pictures or it was asked for; else the picture itself."""
    if len(result.pictures) == 1 and JSON not in request.headers.get("accept", ""):
        (picture,) = result.pictures
        said = {NOTE: "; ".join(result.notes), MODEL: result.model, WHY: result.why}
        headers = {name: one_line(text).encode("ascii", "replace").decode() for name, text in said.items() if text}
        return Response(picture.data, media_type=picture.type, headers=headers)
    return Response(result.model_dump_json(), media_type=JSON)
