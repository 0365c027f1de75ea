"""Run a list of jobs: hand them out, keep what becomes of them, and stop when asked without losing anything."""

from __future__ import annotations

import contextlib
import json
import multiprocessing
import multiprocessing.connection
import os
import signal
import sys
import threading
from collections import deque
from collections.abc import Callable, Generator, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any, TextIO, TypeAlias

from invertfill.batch import storage
from invertfill.batch.jobs import Job
from invertfill.batch.manifest import Manifest
from invertfill.batch.work import FOREIGN, Fingerprint, Record, Worker
from invertfill.errors import InputError
from invertfill.imaging.files import make_folder
from invertfill.options import AUTO, FillOptions
from invertfill.registry import find_models

Task: TypeAlias = tuple[Job, Fingerprint | None]
WORTH_A_PROCESS = 4  # pictures of 256 px, filled in the time that it takes to start and load the model
WORTH_WAITING = 32  # pictures: from here on a faster engine gains what it takes longer to open
MOST_WORKERS = 8  # by default: each holds a model of its own in memory


@dataclass
class Summary:
    """What became of a batch.

    Attributes:
        filled, skipped: how many; the skipped were done already.
        failed: in the order of the jobs.
        left: not done, because the batch was interrupted.
    """

    filled: int = 0
    skipped: int = 0
    failed: list[Record] = field(default_factory=list)
    left: int = 0
    interrupted: bool = False


def run(
    jobs: Sequence[Job],
    options: FillOptions,
    *,
    overwrite: bool = False,
    workers: int | None = None,
    out: str | None = None,
    report: Path | None = None,
    cluster: str | None = None,
    on_begin: Callable[[], object] = lambda: None,
    each: Callable[[Record], None] = lambda record: None,
    on_interrupt: Callable[[], None] = lambda: None,
) -> Summary:
    """Do the jobs. The results don't depend on how many do them, nor where.

    The first interrupt (Ctrl-C) lets the jobs in hand end; a second raises KeyboardInterrupt.

    Args:
        jobs: from `expand`.
        options: of all of them.
        overwrite: replace files at the results' places that no batch is known to have written.
        workers: processes, each with its own model; 1 is this process. None: one for each core, if they are
            worth their start, and one on a GPU; on a cluster, one for each core that it has.
        out: the folder whose manifest says which results are there already; None: make all, whatever is there.
        report: a file that gets a line of JSON for each job.
        cluster: the address of a Ray cluster, or "local" for one of this machine's own.
        on_begin: called when all has been found in order.
        each: called with what became of each job, in the order in which they end.
        on_interrupt: called at the first interrupt.

    Raises:
        InputError: the model can't be used, or the report or manifest can't be written.
    """
    summary, failed = Summary(left=len(jobs)), {}
    order = {job.out: index for index, job in enumerate(jobs)}
    manifest = Manifest(storage.place(out)) if out is not None else None
    if manifest is not None and manifest.is_new and not overwrite:
        _check_free(jobs, manifest.out)
    tasks = [(job, manifest.fingerprint(job.out) if manifest else None) for job in jobs if not job.problem]
    stays = len(jobs) >= WORTH_WAITING
    with contextlib.ExitStack() as stack:
        if cluster is not None:
            from invertfill.batch.cluster import connected, do_on_cluster

            find_models(options.model)  # before anything is written: there may be none
            stack.enter_context(connected(cluster, workers))
            do = partial(do_on_cluster, tasks, options, overwrite, stays, workers)
        else:
            worker = Worker(options, overwrite, stays=stays)  # the same
            workers = workers or _useful_workers(len(tasks), options)
            do = (
                partial(_do_here, tasks, worker)
                if workers == 1
                else partial(_do_in_processes, tasks, options, overwrite, stays, workers)
            )
            del worker  # others than this process have their own
        if manifest is not None:
            stack.enter_context(manifest)
        lines = stack.enter_context(_open_report(report)) if report else None
        asked = stack.enter_context(_first_interrupt(on_interrupt))
        hopeless = [Record(job, "failed", job.problem) for job in jobs if job.problem]
        records = stack.enter_context(contextlib.closing(do(asked)))
        on_begin()
        for record in (record for part in (hopeless, records) for record in part):
            summary.left -= 1
            if record.status == "filled":
                summary.filled += 1
            elif record.status == "skipped":
                summary.skipped += 1
            else:
                failed[order[record.job.out]] = record
            if manifest is not None:
                manifest.add(record)
            if lines is not None:
                print(_report_line(record), file=lines, flush=True)
            each(record)
    summary.failed = [failed[index] for index in sorted(failed)]
    summary.interrupted = asked.is_set()
    return summary


def cores() -> int:
    """That this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _useful_workers(tasks: int, options: FillOptions) -> int:
    if options.device not in (AUTO, "cpu"):
        return 1
    return max(1, min(cores(), tasks // WORTH_A_PROCESS, MOST_WORKERS))


def _do_here(tasks: Sequence[Task], worker: Worker, asked: threading.Event) -> Generator[Record, None, None]:
    for task in tasks:
        if asked.is_set():
            return
        yield worker.do(*task)


def _do_in_processes(
    tasks: Sequence[Task], options: FillOptions, overwrite: bool, stays: bool, workers: int, asked: threading.Event
) -> Generator[Record, None, None]:
    """One job at a time in each process: while one reads or writes, the others compute.

    A process that dies takes the pool with it. Which job it died of can't be told, so all that were in hand are tried
    again, one at a time; a job that kills again has failed.
    """
    waiting, suspects = deque(tasks), deque[Task]()
    hand: dict[Future[Record], Task] = {}
    with _Pool(workers, (options, overwrite, max(1, cores() // workers), stays)) as pool:
        while True:
            alone = bool(suspects)
            while not asked.is_set() and (suspects or waiting) and len(hand) < (1 if alone else workers):
                task = (suspects or waiting).popleft()
                hand[pool.submit(task)] = task
            if not hand:
                return
            died = []
            for future in wait(hand, return_when=FIRST_COMPLETED).done:
                task = hand.pop(future)
                try:
                    yield future.result()
                except BrokenProcessPool:
                    died.append(task)
            if died and alone:
                yield Record(died[0][0], "failed", f"{died[0][0].image}: its process died twice; out of memory?")
            elif died:
                suspects.extend([*died, *hand.values()])
                hand.clear()
            if died:
                pool.restart()


class _Pool:
    """Processes with a loaded model each, which end with this one and leave interrupts to it."""

    def __init__(self, workers: int, arguments: tuple[FillOptions, bool, int, bool]) -> None:
        self.workers = workers
        self.arguments = arguments  # of each process's `Worker`
        self.restart()

    def __enter__(self) -> _Pool:
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        if kind is not None:
            for process in multiprocessing.active_children():
                if process not in self.before:
                    process.kill()
        self.executor.shutdown(cancel_futures=True)

    def restart(self) -> None:
        self.before = multiprocessing.active_children()
        spawn = multiprocessing.get_context("spawn")
        self.executor = ProcessPoolExecutor(self.workers, spawn, _start_process, self.arguments)

    def submit(self, task: Task) -> Future[Record]:
        # Processes are started as they are needed. Ctrl-C reaches them too, so they are born deaf to it.
        with _interrupts_wait():
            try:
                return self.executor.submit(_do_in_process, task)
            except BrokenProcessPool as error:  # one died since the last job came back
                broken: Future[Record] = Future()
                broken.set_exception(error)
                return broken


_worker: Worker | InputError


def _start_process(*arguments: Any) -> None:
    global _worker
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # its parent's affair
    threading.Thread(target=_end_with_parent, daemon=True).start()
    try:
        _worker = Worker(*arguments)
    except InputError as error:
        _worker = error


def _end_with_parent() -> None:
    parent = multiprocessing.parent_process()
    assert parent is not None
    multiprocessing.connection.wait([parent.sentinel])
    os._exit(1)


def _do_in_process(task: Task) -> Record:
    if isinstance(_worker, InputError):
        raise _worker
    return _worker.do(*task)


@contextlib.contextmanager
def _first_interrupt(on_interrupt: Callable[[], None]) -> Iterator[threading.Event]:
    """An event that the first interrupt sets; a second raises KeyboardInterrupt."""
    asked = threading.Event()

    def handle(*_: object) -> None:
        if asked.is_set():
            raise KeyboardInterrupt
        asked.set()
        on_interrupt()

    if threading.current_thread() is not threading.main_thread():  # only the main thread may set handlers
        yield asked
        return
    before = signal.signal(signal.SIGINT, handle)
    try:
        yield asked
    finally:
        signal.signal(signal.SIGINT, before)


@contextlib.contextmanager
def _interrupts_wait() -> Iterator[None]:
    """Hold interrupts back until the end; ignored instead, one that comes meanwhile would be lost.

    A process that is started meanwhile never hears of one. Windows can't hold them back.
    """
    if sys.platform == "win32":
        yield
        return
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def _check_free(jobs: Sequence[Job], out: str) -> None:
    """Raise InputError if there are files at the results' places although no batch has run in the folder."""
    if storage.is_folder(out):
        present = {storage.join(out, name) for name in storage.list_files(out)}
        for job in jobs:
            if job.out in present:
                raise InputError(f"{job.out}: {FOREIGN}")


@contextlib.contextmanager
def _open_report(path: Path) -> Iterator[TextIO]:
    make_folder(path.parent)
    try:
        file = path.open("w", encoding="utf-8")
    except OSError as error:
        raise InputError(f"{path}: cannot be written ({error.strerror})") from None
    with file:
        yield file


def _report_line(record: Record) -> str:
    told = {name: getattr(record, name) for name in ("status", "reason", "model", "why", "notes", "seconds")}
    return json.dumps({"image": record.job.image, "mask": record.job.mask, "out": record.job.out, **told})
