"""The web page and the HTTP endpoint: ``invertfill serve``."""

from __future__ import annotations

from dataclasses import replace
from typing import Annotated

import typer

from invertfill.cli.options import takes_options
from invertfill.cli.output import needs_extra
from invertfill.options import AUTO, FillOptions
from invertfill.serve.settings import Limits, Settings, check_access

app = typer.Typer()


@app.command()
@takes_options("model", at_load=True)
def serve(
    host: Annotated[
        str, typer.Option(help="The address to listen on; any but this machine's own asks for a token.")
    ] = "127.0.0.1",
    port: Annotated[int, typer.Option(min=0, max=65535, help="0 takes one that is free.")] = 8000,
    token: Annotated[
        str | None,
        typer.Option(envvar="INVERTFILL_TOKEN", help="That requests have to carry; better set in the environment."),
    ] = None,
    no_auth: Annotated[bool, typer.Option("--no-auth", help="Whoever reaches the address may use it.")] = False,
    allow_host: Annotated[
        list[str] | None, typer.Option(help="A name by which the server may be called, such as fill.example.org.")
    ] = None,
    model: Annotated[
        list[str] | None,
        typer.Option(
            help="A name that `invertfill models` lists, or FOLDER; the first is the default. All without it."
        ),
    ] = None,
    max_upload: Annotated[int, typer.Option(min=1, help="Megabytes of a request.")] = Limits.upload,
    max_pixels: Annotated[int, typer.Option(min=1, help="Millions, of a picture given or made.")] = Limits.pixels,
    max_samples: Annotated[int, typer.Option(min=1, help="Pictures of one request.")] = Limits.samples,
    queue: Annotated[int, typer.Option(min=0, help="Requests that wait; more get 503.")] = Limits.queue,
    per_client: Annotated[
        int, typer.Option(min=1, help="Requests of one address at once; more get 429.")
    ] = Limits.per_client,
    time_limit: Annotated[float, typer.Option(min=1, help="Seconds from a request to its answer.")] = Limits.seconds,
    workers: Annotated[
        int | None, typer.Option(min=1, help="Fills at once; without it, one for each core, at most 2.")
    ] = None,
    *,
    options: FillOptions,
) -> None:
    """Open a web page to paint holes on, and an HTTP endpoint for programs.

    The page is at /, the endpoint's description at /docs. Pictures are never written to a disk. Needs the app extra.
    """
    with needs_extra("app"):
        from invertfill.serve.run import serve
    check_access(host, token, no_auth)
    limits = Limits(max_upload, max_pixels, max_samples, queue, per_client, time_limit)
    if workers is not None:
        limits = replace(limits, workers=workers)
    settings = Settings(tuple(model or [AUTO]), options, host, tuple(allow_host or []), token, limits)
    serve(settings, port, lambda address: print(f"{address} (Ctrl-C ends it)", flush=True))
