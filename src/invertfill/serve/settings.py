"""What the person who starts the server decides: who may use it, and how much of it."""

from __future__ import annotations

import ipaddress
import os
from dataclasses import dataclass, field

from invertfill.errors import InputError
from invertfill.options import AUTO, FillOptions

SHORTEST_TOKEN = 12


@dataclass(frozen=True)
class Limits:
    """What one request may ask for, and all of them together.

    Attributes:
        upload: megabytes of a request.
        pixels: millions, of a picture that comes in or would go out.
        samples: fills of one request.
        queue: requests that wait while all workers are busy; more get 503.
        per_client: requests that one address has under way; more get 429.
        seconds: from a request's arrival to its answer.
        workers: fills at once.
    """

    upload: int = 50
    pixels: int = 50
    samples: int = 8
    queue: int = 16
    per_client: int = 8
    seconds: float = 120
    workers: int = field(default_factory=lambda: min(2, os.cpu_count() or 1))


@dataclass(frozen=True)
class Settings:
    """A server.

    Attributes:
        models: what `invertfill.load` takes, the default first; "auto" offers all that is installed too.
        options: of all fills, but the model; a request can change those that need no other model.
        host: the address to listen on.
        hosts: names besides, by which requests may call the server.
        token: that requests have to carry; None asks for none.
    """

    models: tuple[str, ...] = (AUTO,)
    options: FillOptions = field(default_factory=FillOptions)
    host: str = "127.0.0.1"
    hosts: tuple[str, ...] = ()
    token: str | None = None
    limits: Limits = field(default_factory=Limits)


def is_address(host: str) -> bool:
    """An IP address, and no name that somebody's name server could point elsewhere."""
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return False
    return True


def check_access(host: str, token: str | None, no_auth: bool) -> None:
    """Raise InputError where anyone could reach the server without having been meant to."""
    if token is not None and no_auth:
        raise InputError("--token together with --no-auth; accepted: one or the other")
    if token is not None and not (token.isascii() and token.isprintable() and len(token) >= SHORTEST_TOKEN):
        raise InputError(f"--token: accepted: {SHORTEST_TOKEN} or more printable ASCII characters")
    local = host == "localhost" or (is_address(host) and ipaddress.ip_address(host).is_loopback)
    if not local and token is None and not no_auth:
        raise InputError(f"--host {host}: others can reach that address; accepted: together with --token or --no-auth")
