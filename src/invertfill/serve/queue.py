"""Where work is taken in: some at once, some waiting, the rest sent away before its upload is read."""

from __future__ import annotations

import asyncio
import contextlib
import ctypes
import gc
import threading
from collections import Counter
from collections.abc import AsyncGenerator, Awaitable, Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any, TypeVar

from invertfill.serve.refusal import GONE, Refusal
from invertfill.serve.settings import Limits

T = TypeVar("T")


class Place:
    """A request's place in the queue. It stays taken until the request has ended, and its work too.

    Attributes:
        unwanted: set when nobody waits for the work's result any more; the work looks at it between pictures.
    """

    def __init__(self) -> None:
        self.unwanted = threading.Event()
        self.work: Callable[[threading.Event], Iterator[Any]] | None = None
        self.future: Future[None] | None = None

    def begin(self, tell: Callable[[Any], object]) -> None:
        """In a thread; tells each result, and None at the end. The work holds an upload: it goes with its last use."""
        work, self.work = self.work, None
        assert work is not None
        try:
            for result in work(self.unwanted):
                tell(result)
        finally:
            tell(None)


class Queue:
    """Threads that work, and the places in front of them.

    A thread can't be stopped, so work that takes too long keeps its place while its request has its answer already:
    there is never more in memory than there are places.
    """

    def __init__(self, limits: Limits) -> None:
        self.limits = limits
        self._threads = ThreadPoolExecutor(limits.workers, "invertfill")
        self._taken: Counter[str] = Counter()  # by client
        self._lock = threading.Lock()

    @property
    def taken(self) -> int:
        with self._lock:
            return self._taken.total()

    @contextlib.contextmanager
    def place(self, client: str) -> Iterator[Place]:
        """A place for one request.

        Raises:
            Refusal: 429 where the client has enough of them, 503 where all are taken.
        """
        with self._lock:
            if self._taken[client] >= self.limits.per_client:
                most = self.limits.per_client
                raise Refusal(429, f"{most} requests of yours are under way; wait until one is done.", retry=1)
            if self._taken.total() >= self.limits.workers + self.limits.queue:
                raise Refusal(503, "All workers are busy and the queue is full; try again in a moment.", retry=1)
            self._taken[client] += 1
        place = Place()
        try:
            yield place
        finally:
            place.unwanted.set()
            if place.future is None or place.future.cancel():
                place.work = None  # what was cancelled stays in the threads' queue until one of them comes to it
                self._leave(client)
            else:
                place.future.add_done_callback(lambda _: self._leave(client))

    async def do(
        self, place: Place, work: Callable[[threading.Event], Iterator[T]], gone: Awaitable[object], ends: float
    ) -> AsyncGenerator[T, None]:
        """Have work done by one of the threads; its results as they come.

        Args:
            work: is given `Place.unwanted`.
            gone: ends when the client does not wait any more.
            ends: by the event loop's clock.

        Raises:
            Refusal: the client has gone.
            TimeoutError: there was more to come at the end.
        """
        news: asyncio.Queue[T | None] = asyncio.Queue()
        leaving = asyncio.ensure_future(gone)
        leaving.add_done_callback(lambda _: news.put_nowait(None))
        place.work = work
        loop = asyncio.get_running_loop()

        def tell(result: T | None) -> None:
            loop.call_soon_threadsafe(news.put_nowait, result)

        place.future = future = self._threads.submit(place.begin, tell)
        try:
            while True:
                async with asyncio.timeout_at(ends):
                    result = await news.get()
                if leaving.done():
                    raise Refusal(GONE, "The client has gone.")
                if result is None:
                    await asyncio.wrap_future(future)
                    return
                yield result
        finally:
            leaving.cancel()

    def close(self) -> None:
        """Wait for the work in hand."""
        self._threads.shutdown(wait=True, cancel_futures=True)

    def _leave(self, client: str) -> None:
        with self._lock:
            self._taken[client] -= 1
            if not self._taken[client]:
                del self._taken[client]
            idle = not self._taken
        if idle:
            _give_memory_back()


def _give_memory_back() -> None:
    """What was freed goes to the system: glibc keeps it for the thread that had it. Elsewhere there is no need.

    Connections that were closed in the middle are garbage in circles, which holds what was uploaded.
    """
    gc.collect()
    with contextlib.suppress(OSError, AttributeError):
        ctypes.CDLL(None).malloc_trim(0)
