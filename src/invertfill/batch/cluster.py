"""The same jobs on Ray Data: on a cluster that runs already, or on one of this machine's own.

Nodes need invertfill, the model (under the same path, if it is a folder), and access to the places of the jobs.
"""

from __future__ import annotations

import contextlib
import json
import logging
import os
import threading
from collections import Counter
from collections.abc import Generator, Iterator, Sequence
from dataclasses import asdict, replace
from typing import Any, Literal

from invertfill.batch import storage
from invertfill.batch.jobs import Job
from invertfill.batch.work import Fingerprint, Record, Worker
from invertfill.errors import InputError, how_to_install
from invertfill.options import FillOptions
from invertfill.registry import fingerprint

os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")  # before Ray is imported: it would report to its makers
os.environ.setdefault("RAY_DATA_DISABLE_PROGRESS_BARS", "1")
os.environ.setdefault("RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO", "0")  # its present way warns that it will change to this
os.environ.setdefault("RAY_BACKEND_LOG_LEVEL", "fatal")  # its notes on how Ray Data uses it are no concern of the user

try:
    import ray
    import ray.data
except ModuleNotFoundError as error:
    raise InputError(f"{error.name} is not installed; --cluster needs {how_to_install('cluster')}") from None

LOCAL = "local"
OBJECT_STORE = 200_000_000  # bytes, of a local cluster: what passes through it are names
TRIES = 3  # of a job at which workers die; after that it has failed
MOST_BLOCKS = 20_000  # Ray keeps account of each


@contextlib.contextmanager
def connected(address: str, workers: int | None) -> Iterator[None]:
    """To the cluster at ``address``, or to one of this machine's own if that is "local".

    Raises:
        InputError: there is no cluster.
    """
    if ray.is_initialized():  # by a program that calls this as a library
        yield
        return
    logging.getLogger("ray.data").setLevel(logging.ERROR)
    options: dict[str, Any] = {"log_to_driver": False, "logging_level": logging.ERROR}
    if address == LOCAL:
        options |= {"num_cpus": workers, "include_dashboard": False, "object_store_memory": OBJECT_STORE}
    try:
        ray.init(address, **options)
    except (ConnectionError, ValueError, RuntimeError) as error:
        raise InputError(f"{address}: no Ray cluster that can be reached ({error})") from None
    try:
        yield
    finally:
        ray.shutdown()


def do_on_cluster(
    tasks: Sequence[tuple[Job, Fingerprint | None]],
    options: FillOptions,
    overwrite: bool,
    stays: bool,
    workers: int | None,
    asked: threading.Event,
) -> Generator[Record, None, None]:
    """Do the jobs with ``workers`` Ray actors, each with a model and a core (or GPU) of its own.

    Ray starts a worker that died anew and gives it its jobs again; what it had done of them is found to be right.
    """
    if not tasks:
        return
    gpu = options.device == "cuda"
    ended = threading.Event()
    try:
        workers = workers or max(1, int(ray.cluster_resources().get("GPU" if gpu else "CPU", 1)))
        workers = min(workers, len(tasks))
        ray.data.DataContext.get_current().enable_progress_bars = False
        coordinator = ray.remote(_Coordinator).options(num_cpus=0, max_restarts=-1, max_task_retries=-1).remote()
        threading.Thread(target=_pass_on, args=(asked, ended, coordinator), daemon=True).start()
        rows = [{"index": index, "task": _to_json(*task)} for index, task in enumerate(tasks)]
        dataset = ray.data.from_items(rows, override_num_blocks=min(len(tasks), MOST_BLOCKS)).map(
            _ClusterWorker,  # type: ignore[arg-type]  # Ray's types leave classes out
            fn_constructor_args=(options, overwrite, stays, fingerprint(options.model), coordinator),
            compute=ray.data.ActorPoolStrategy(size=workers),
            num_cpus=0 if gpu else 1,
            num_gpus=1 if gpu else 0,
        )
        stopped = set()
        for row in dataset.iter_rows():
            if row["record"]:
                yield _from_json(row["record"], tasks[row["index"]][0])
            else:
                stopped.add(row["worker"])
                if len(stopped) == workers:
                    return
    except ray.exceptions.RayError as error:
        raise InputError(f"Ray: {str(error).strip().splitlines()[-1]}") from None
    finally:
        ended.set()


class _Coordinator:
    """Keeps what all workers have to know; an actor."""

    def __init__(self) -> None:
        self.stopped = False
        self.tries: Counter[int] = Counter()

    def stop(self) -> None:
        """Let no more jobs begin."""
        self.stopped = True

    def begin(self, index: int) -> Literal["go", "stop", "deadly"]:
        """Whether to do a job. Ray gives it out again as often as its worker dies; here that has an end."""
        if self.stopped:
            return "stop"
        self.tries[index] += 1
        return "go" if self.tries[index] <= TRIES else "deadly"

    def end(self, index: int) -> None:
        """The job killed nobody; that it is given out again is due to another."""
        del self.tries[index]


def _pass_on(asked: threading.Event, ended: threading.Event, coordinator: Any) -> None:
    while not ended.is_set():
        if asked.wait(0.5):
            coordinator.stop.remote()
            return


class _ClusterWorker:
    """A `Worker` as Ray Data wants it."""

    def __init__(self, options: FillOptions, overwrite: bool, stays: bool, expected: str, coordinator: Any) -> None:
        self.coordinator = coordinator
        self.name = ray.get_runtime_context().get_actor_id()
        self.worker: Worker | InputError
        try:
            self.worker = Worker(options, overwrite, threads=1, stays=stays)
            if self.worker.models != expected:
                self.worker = InputError(f"{options.model}: another model on this node ({os.uname().nodename})")
        except InputError as error:
            self.worker = error

    def __call__(self, row: dict[str, Any]) -> dict[str, Any]:
        index, task = row["index"], json.loads(row["task"])
        job, before = Job(**task["job"]), _fingerprint(task["before"])
        order = ray.get(self.coordinator.begin.remote(index))
        if order == "stop":
            return {"index": index, "record": "", "worker": self.name}
        if order == "deadly":
            record = Record(job, "failed", f"{job.image}: {TRIES} workers died of it; out of memory?")
        elif isinstance(self.worker, InputError):
            record = Record(job, "failed", str(self.worker))
        else:
            record = self.worker.do(job, before)
        self.coordinator.end.remote(index)
        return {"index": index, "record": json.dumps(asdict(record)), "worker": self.name}


def _to_json(job: Job, before: Fingerprint | None) -> str:
    """With absolute paths: workers have a working folder of their own."""
    mask = job.mask and storage.absolute(job.mask)
    absolute = replace(job, image=storage.absolute(job.image), mask=mask, out=storage.absolute(job.out))
    return json.dumps({"job": asdict(absolute), "before": before and asdict(before)})


def _from_json(text: str, job: Job) -> Record:
    entry = json.loads(text)
    entry |= {"job": job, "notes": tuple(entry["notes"]), "fingerprint": _fingerprint(entry["fingerprint"])}
    return Record(**entry)


def _fingerprint(entry: dict[str, str] | None) -> Fingerprint | None:
    return Fingerprint(**entry) if entry else None
