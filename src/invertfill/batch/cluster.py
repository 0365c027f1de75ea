"""The same jobs on Ray Data: on a cluster that runs already, or on one of this machine's own.

Nodes need invertfill, the model (under the same path, if it is a folder), and access to the places of the jobs.
"""

from __future__ import annotations

import json
import logging
import os
import threading
from collections.abc import Generator, Sequence
from dataclasses import asdict, replace
from typing import Any

from invertfill.batch import places
from invertfill.batch.jobs import Job
from invertfill.batch.work import Known, Record, Settings, Worker
from invertfill.errors import InputError
from invertfill.zoo import find_model

os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")  # before Ray is imported: it would report to its makers
os.environ.setdefault("RAY_DATA_DISABLE_PROGRESS_BARS", "1")
os.environ.setdefault("RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO", "0")  # no GPU asked for hides none; else Ray warns

try:
    import ray
    import ray.data
except ModuleNotFoundError as error:
    raise InputError(f'{error.name} is not installed; --cluster needs pip install "invertfill[cluster]"') from None

LOCAL = "local"
OBJECT_STORE = 200_000_000  # bytes, of a local cluster: what passes through it are names
RETRIES = 3  # of the jobs of a worker that died; after that they have failed
MOST_BLOCKS = 20_000  # Ray keeps account of each


def do_on_cluster(
    tasks: Sequence[tuple[Job, Known | None]],
    settings: Settings,
    workers: int | None,
    address: str,
    asked: threading.Event,
) -> Generator[Record, None, None]:
    """Do the jobs with ``workers`` Ray actors, each with a model and a core (or GPU) of its own.

    Ray starts a worker that died anew and gives it its jobs again; what it had done of them is found to be right.
    """
    if not tasks:
        return
    gpu = settings.device == "cuda"
    own = not ray.is_initialized()
    if own:
        _connect(address, workers)
    try:
        workers = workers or max(1, int(ray.cluster_resources().get("GPU" if gpu else "CPU", 1)))
        workers = min(workers, len(tasks))
        context = ray.data.DataContext.get_current()
        context.enable_progress_bars = False
        context.max_errored_blocks = -1  # a job that kills every worker fails alone
        stop = ray.remote(_Stop).options(num_cpus=0).remote()
        ended = threading.Event()
        threading.Thread(target=_pass_on, args=(asked, ended, stop), daemon=True).start()

        rows = [{"index": index, "task": _to_json(*task)} for index, task in enumerate(tasks)]
        blocks = max(min(len(tasks), MOST_BLOCKS), 1)
        dataset = ray.data.from_items(rows, override_num_blocks=blocks).map(
            _ClusterWorker,
            fn_constructor_args=(settings, find_model(settings.model).sha256, stop),
            compute=ray.data.ActorPoolStrategy(size=workers),
            num_cpus=0 if gpu else 1,
            num_gpus=1 if gpu else 0,
            max_task_retries=RETRIES,
        )
        missing, stopped = dict(enumerate(tasks)), set()
        try:
            for row in dataset.iter_rows():
                if row["record"]:
                    yield _from_json(row["record"], missing.pop(row["index"])[0])
                else:
                    stopped.add(row["worker"])
                    if len(stopped) == workers:
                        return
        finally:
            ended.set()
        if not asked.is_set():
            for job, _ in missing.values():
                yield Record(job, "failed", f"{job.image}: its worker died {RETRIES + 1} times; out of memory?")
    except ray.exceptions.RayError as error:
        raise InputError(f"Ray: {str(error).strip().splitlines()[-1]}") from None
    finally:
        if own:
            ray.shutdown()


def _connect(address: str, workers: int | None) -> None:
    logging.getLogger("ray.data").setLevel(logging.ERROR)
    options: dict[str, Any] = {"log_to_driver": False, "logging_level": logging.ERROR}
    if address == LOCAL:
        options |= {"num_cpus": workers, "include_dashboard": False, "object_store_memory": OBJECT_STORE}
    try:
        ray.init(address, **options)
    except (ConnectionError, ValueError, RuntimeError) as error:
        raise InputError(f"{address}: no Ray cluster that can be reached ({error})") from None


class _Stop:
    """Whether the workers are to begin no more jobs; an actor."""

    def __init__(self) -> None:
        self.asked = False

    def ask(self) -> None:
        self.asked = True

    def is_asked(self) -> bool:
        return self.asked


def _pass_on(asked: threading.Event, ended: threading.Event, stop: Any) -> None:
    while not ended.is_set():
        if asked.wait(0.5):
            stop.ask.remote()
            return


class _ClusterWorker:
    """A `Worker` as Ray Data wants it."""

    def __init__(self, settings: Settings, model_sha256: str, stop: Any) -> None:
        self.stop = stop
        self.worker: Worker | InputError
        try:
            self.worker = Worker(settings, threads=1)
            if self.worker.model_sha256 != model_sha256:
                self.worker = InputError(f"{settings.model}: another model on this node ({os.uname().nodename})")
        except InputError as error:
            self.worker = error

    def __call__(self, row: dict[str, Any]) -> dict[str, Any]:
        record = ""
        if not ray.get(self.stop.is_asked.remote()):
            task = json.loads(row["task"])
            job, known = Job(**task["job"]), Known(**task["known"]) if task["known"] else None
            if isinstance(self.worker, InputError):
                done = Record(job, "failed", str(self.worker))
            else:
                done = self.worker.do(job, known)
            record = json.dumps(asdict(done))
        return {"index": row["index"], "record": record, "worker": ray.get_runtime_context().get_actor_id()}


def _to_json(job: Job, known: Known | None) -> str:
    """With absolute paths: workers have a working folder of their own."""
    mask = job.mask and places.absolute(job.mask)
    absolute = replace(job, image=places.absolute(job.image), mask=mask, out=places.absolute(job.out))
    return json.dumps({"job": asdict(absolute), "known": known and asdict(known)})


def _from_json(text: str, job: Job) -> Record:
    entry = json.loads(text)
    known = entry["known"] and Known(**entry["known"])
    return Record(job, entry["status"], entry["reason"], tuple(entry["notes"]), entry["seconds"], known)
