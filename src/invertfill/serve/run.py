"""The server's process: a socket, a line that says where, a clean stop."""

from __future__ import annotations

import contextlib
import copy
import errno
import gc
import logging
import math
import signal
import socket
from collections.abc import Callable
from types import FrameType
from typing import Any

import uvicorn
from uvicorn.config import LOGGING_CONFIG

from invertfill.errors import InputError
from invertfill.serve.app import create_app
from invertfill.serve.settings import Settings

KEEP_ALIVE = 5  # seconds that an idle connection is kept
CONNECTIONS = 512  # most of them wait to be told that there is no place
PORT, TRIES = 8000, 20  # by default; and how many that follow are tried, until one is free
BACKLOG = 256  # connections that the system holds until they are looked at


def serve(settings: Settings, port: int | None, on_ready: Callable[[str], None], *, log_requests: bool = False) -> None:
    """Serve until Ctrl-C or SIGTERM; then the work in hand is ended first. A second Ctrl-C doesn't wait.

    Args:
        port: 0 for any that is free; None for ``PORT``, or the next that is free.
        on_ready: gets the page's address, once the models are loaded and the port is open.
        log_requests: a line on standard error for each.

    Raises:
        InputError: a model can't be loaded, or the address can't be listened on.
    """
    app = create_app(settings)
    config = uvicorn.Config(
        app,
        log_level="info" if log_requests else "error",
        log_config=_log_config(),
        access_log=log_requests,
        server_header=False,
        date_header=False,
        limit_concurrency=CONNECTIONS,
        timeout_keep_alive=KEEP_ALIVE,
        timeout_graceful_shutdown=math.ceil(settings.limits.seconds),
        proxy_headers=False,  # who asks is who is connected, whatever a header says
    )
    listening = _listen(settings.host, range(PORT, PORT + TRIES) if port is None else range(port, port + 1))
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


def _listen(host: str, ports: range) -> socket.socket:
    """At the first port that isn't taken."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    for port in ports:
        try:
            return socket.create_server((host, port), family=family, backlog=BACKLOG)
        except OSError as error:
            if error.errno != errno.EADDRINUSE or port == ports[-1]:
                raise InputError(f"{host}:{port}: can't be listened on ({error.strerror})") from None
    raise AssertionError("no ports")


def _log_config() -> dict[str, Any]:
    """All of it on standard error: the address alone is for standard output."""
    config: dict[str, Any] = copy.deepcopy(LOGGING_CONFIG)
    config["handlers"]["access"]["stream"] = "ext://sys.stderr"
    return config
