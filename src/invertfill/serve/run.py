"""The server's process: a socket, a line that says where, a clean stop."""

from __future__ import annotations

import contextlib
import gc
import logging
import math
import signal
import socket
from collections.abc import Callable
from types import FrameType

import uvicorn

from invertfill.errors import InputError
from invertfill.serve.app import create_app
from invertfill.serve.settings import Settings

KEEP_ALIVE = 5  # seconds that an idle connection is kept
CONNECTIONS = 512  # of which most wait to be told that there is no place
BACKLOG = 256  # connections that the system holds until they are looked at


def serve(settings: Settings, port: int, on_ready: Callable[[str], None]) -> None:
    """Serve until Ctrl-C or SIGTERM; then the work in hand is ended first. A second Ctrl-C doesn't wait.

    Args:
        port: 0 for one that is free.
        on_ready: gets the page's address, once the models are loaded and the port is open.

    Raises:
        InputError: a model can't be loaded, or the address can't be listened on.
    """
    app = create_app(settings)
    config = uvicorn.Config(
        app,
        log_level="error",
        access_log=False,
        server_header=False,
        date_header=False,
        limit_concurrency=CONNECTIONS,
        timeout_keep_alive=KEEP_ALIVE,
        timeout_graceful_shutdown=math.ceil(settings.limits.seconds),
        proxy_headers=False,  # who asks is who is connected, whatever a header says
    )
    try:
        family = socket.AF_INET6 if ":" in settings.host else socket.AF_INET
        listening = socket.create_server((settings.host, port), family=family, backlog=BACKLOG)
    except OSError as error:
        raise InputError(f"{settings.host}:{port}: can't be listened on ({error.strerror})") from None

    logging.getLogger("python_multipart").setLevel(logging.ERROR)  # of what is damaged the answer tells

    def stop(_: int, __: FrameType | None) -> None:
        raise KeyboardInterrupt

    for interrupt in (signal.SIGINT, signal.SIGTERM):
        signal.signal(interrupt, stop)  # uvicorn raises the signal anew once all is done
    with listening, contextlib.suppress(KeyboardInterrupt):
        host = f"[{settings.host}]" if ":" in settings.host else settings.host
        gc.freeze()  # what is there by now stays, so looking for garbage need not look at it
        on_ready(f"http://{host}:{listening.getsockname()[1]}/")
        uvicorn.Server(config).run(sockets=[listening])
