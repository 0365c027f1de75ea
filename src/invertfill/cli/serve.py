"""The web page and the HTTP endpoint: ``invertfill serve``."""

from __future__ import annotations

import contextlib
import os
import sys
from dataclasses import replace
from typing import Annotated

import typer

from invertfill.cli.options import examples, takes_options
from invertfill.cli.output import needs_extra
from invertfill.options import AUTO, FillOptions
from invertfill.serve.settings import Limits, Settings, check_access

app = typer.Typer()


@app.command(epilog=examples("invertfill serve", "invertfill serve --port 8080 --model faces-256 --no-open -v"))
@takes_options("model", at_load=True)
def serve(
    host: Annotated[
        str,
        typer.Option(metavar="ADDRESS", help="The address to listen on; any but this machine's own asks for a token."),
    ] = "127.0.0.1",
    port: Annotated[
        int | None,
        typer.Option(
            min=0,
            max=65535,
            metavar="PORT",
            help="0 takes any that is free; without it, 8000 or the next that is free.",
        ),
    ] = None,
    no_open: Annotated[bool, typer.Option("--no-open", help="Don't open the page in a browser.")] = False,
    verbose: Annotated[bool, typer.Option("-v", "--verbose", help="Log each request.")] = False,
    token: Annotated[
        str | None,
        typer.Option(
            envvar="INVERTFILL_TOKEN",
            metavar="TOKEN",
            help="That requests have to carry; better set in the environment.",
        ),
    ] = None,
    no_auth: Annotated[bool, typer.Option("--no-auth", help="Anyone who reaches the address may use it.")] = False,
    allow_host: Annotated[
        list[str] | None,
        typer.Option(metavar="NAME", help="A name by which the server may be called, such as fill.example.org."),
    ] = None,
    model: Annotated[
        list[str] | None,
        typer.Option(
            metavar="NAME|FOLDER",
            help="A name that `invertfill models` lists, or FOLDER; the first is the default. All without it.",
        ),
    ] = None,
    max_upload: Annotated[int, typer.Option(min=1, metavar="MB", help="Megabytes of a request.")] = Limits.upload,
    max_pixels: Annotated[
        int, typer.Option(min=1, metavar="MILLIONS", help="Millions, of a picture given or made.")
    ] = Limits.pixels,
    max_samples: Annotated[int, typer.Option(min=1, metavar="COUNT", help="Pictures of one request.")] = Limits.samples,
    queue: Annotated[
        int, typer.Option(min=0, metavar="COUNT", help="Requests that wait; more get 503.")
    ] = Limits.queue,
    per_client: Annotated[
        int, typer.Option(min=1, metavar="COUNT", help="Requests of one address at once; more get 429.")
    ] = Limits.per_client,
    time_limit: Annotated[
        float, typer.Option(min=1, metavar="SECONDS", help="Seconds from a request to its answer.")
    ] = Limits.seconds,
    workers: Annotated[
        int | None,
        typer.Option(min=1, metavar="COUNT", help="Fills at once; without it, one for each core, at most 2."),
    ] = None,
    *,
    options: FillOptions,
) -> None:
    """Open a web page to paint holes on, and serve programs by HTTP.

    The page is at /, what programs can ask for at /docs. Pictures are never written to a disk. Needs the app extra.
    """
    with needs_extra("app"):
        from invertfill.serve.run import serve
    check_access(host, token, no_auth)
    limits = Limits(max_upload, max_pixels, max_samples, queue, per_client, time_limit)
    if workers is not None:
        limits = replace(limits, workers=workers)
    settings = Settings(tuple(model or [AUTO]), options, host, tuple(allow_host or []), token, limits)

    def on_ready(address: str) -> None:
        print(f"{address} (Ctrl-C ends it)", flush=True)
        if not no_open and sys.stdout.isatty() and _has_desktop():
            import webbrowser

            with contextlib.suppress(Exception):  # the address is there to be clicked
                webbrowser.open(address)

    serve(settings, port, on_ready, log_requests=verbose)


def _has_desktop() -> bool:
    """Whether a browser would most likely come up before the user's eyes."""
    if "SSH_CONNECTION" in os.environ:
        return False
    return sys.platform in ("darwin", "win32") or bool(os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY"))
