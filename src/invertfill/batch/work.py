"""One job done, wherever it runs: in this process, in one of several, or on a cluster."""

from __future__ import annotations

import hashlib
import json
import time
from dataclasses import dataclass, replace
from typing import Literal

from invertfill.batch import storage
from invertfill.batch.jobs import Job
from invertfill.errors import InputError, shortened
from invertfill.imaging.sources import Encoded
from invertfill.notes import Notes
from invertfill.options import FillOptions
from invertfill.pipeline.inpainter import open_inpainter
from invertfill.registry import fingerprint as models_fingerprint


@dataclass(frozen=True)
class Fingerprint:
    """What is kept of a result, so that it need not be made twice.

    Attributes:
        origin: hash of all that it was made from: picture, mask, models, and the options that decide a result.
        sha256: of the result's file, hex.
    """

    origin: str
    sha256: str


@dataclass(frozen=True)
class Record:
    """What became of a job.

    Attributes:
        status: "skipped" if the result was there already and is what it has to be.
        reason: why it failed.
        model, why: of a fill: see `FillResult`.
        notes: those of the fill, and of writing its result.
        size: of the result, width and height in pixels; None unless it was filled now.
        fingerprint: of the result, unless the job failed.
    """

    job: Job
    status: Literal["filled", "skipped", "failed"]
    reason: str = ""
    model: str = ""
    why: str = ""
    notes: tuple[str, ...] = ()
    seconds: float = 0.0
    fingerprint: Fingerprint | None = None
    size: tuple[int, int] | None = None


class Worker:
    """Does jobs with what it has loaded: one model, or those that `auto` selects from.

    Args:
        options: of all jobs.
        overwrite: replace a file at a result's place that no batch is known to have written.
        threads, stays: see `invertfill.pipeline.inpainter.open_inpainter`.

    Raises:
        InputError: see `invertfill.load`.
    """

    def __init__(self, options: FillOptions, overwrite: bool = False, threads: int = 0, stays: bool = False) -> None:
        self.overwrite = overwrite
        self.models = models_fingerprint(options.model)
        self.inpainter = open_inpainter(options, threads, stays)

    def do(self, job: Job, before: Fingerprint | None) -> Record:
        """Do a job, or find it done `before`. Never raises: a bad file must not stop the others."""
        began = time.perf_counter()
        try:
            record = self._do(job, before)
        except InputError as error:
            record = Record(job, "failed", str(error))
        except Exception as error:  # whatever a damaged file or a full disk brings up in a library
            record = Record(job, "failed", shortened(f"{job.image}: {type(error).__name__}: {error}"))
        return replace(record, seconds=round(time.perf_counter() - began, 3))

    def _do(self, job: Job, before: Fingerprint | None) -> Record:
        if job.problem:
            raise InputError(job.problem)
        image = Encoded(job.image, storage.read(job.image))
        mask = Encoded(job.mask, storage.read(job.mask)) if job.mask is not None else None
        options = self.inpainter.options.changed(box=(*self.inpainter.options.box, *job.box))
        origin = self._origin(image, mask, options)
        present = storage.read_if_there(job.out)
        if before and present is not None and before == Fingerprint(origin, _sha256(present)):
            return Record(job, "skipped", fingerprint=before)
        result = self.inpainter.fill(image, mask, box=options.box)
        notes = Notes(result.notes)
        data = result.encode(job.out, note=notes)
        # An equal file is one that a killed run wrote and had no time to note.
        if data != present:
            if present is not None and before is None and not self.overwrite:
                raise InputError(f"{job.out}: {FOREIGN}")
            storage.write(job.out, data)
        made = Fingerprint(origin, _sha256(data))
        return Record(job, "filled", "", result.model, result.why, tuple(notes), fingerprint=made, size=result.size)

    def _origin(self, image: Encoded, mask: Encoded | None, options: FillOptions) -> str:
        inputs = [_sha256(image.data), mask and _sha256(mask.data), self.models]
        return _sha256(json.dumps([*inputs, options.deciding]).encode())


FOREIGN = "a file that no batch here is known to have written; accepted: --overwrite, or another folder"


def _sha256(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()
