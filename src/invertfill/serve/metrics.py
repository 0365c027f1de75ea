"""Counts and times for Prometheus. No version of anything is among them."""

from __future__ import annotations

from collections.abc import Callable

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest

PATHS = {"/", "/v1/fill", "/v1/outpaint", "/v1/preview", "/v1/models", "/healthz", "/metrics", "/docs", "/openapi.json"}
SECONDS = (0.1, 0.25, 0.5, 1, 2.5, 5, 10, 25, 60, 120)


class Metrics:
    """One server's.

    Args:
        taken: counts the requests that are being worked on or wait.
    """

    def __init__(self, taken: Callable[[], int]) -> None:
        self._registry = CollectorRegistry()
        self._requests = Counter(
            "invertfill_requests", "Requests by path and status.", ("path", "status"), registry=self._registry
        )
        self._pictures = Counter("invertfill_pictures", "Pictures made.", registry=self._registry)
        self._seconds = Histogram(
            "invertfill_work_seconds",
            "Time in a worker, without the wait for one.",
            registry=self._registry,
            buckets=SECONDS,
        )
        Gauge("invertfill_in_hand", "Requests worked on or waiting.", registry=self._registry).set_function(taken)

    def answered(self, path: str, status: int) -> None:
        """What nobody serves is one path, so that a scan doesn't fill the memory."""
        self._requests.labels(path if path in PATHS else "other", str(status)).inc()

    def drawn(self) -> None:
        """One picture more."""
        self._pictures.inc()

    def worked(self, seconds: float) -> None:
        self._seconds.observe(seconds)

    def text(self) -> bytes:
        return generate_latest(self._registry)
