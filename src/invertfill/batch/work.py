"""One job done, wherever it runs: in this process, in one of several, or on a cluster."""

from __future__ import annotations

import hashlib
import json
import time
import warnings
from dataclasses import dataclass, replace
from typing import Literal

from invertfill.batch import storage as places
from invertfill.batch.jobs import Job
from invertfill.errors import InputError, InvertFillWarning
from invertfill.imaging.io import Encoded, encode_image
from invertfill.pipeline.inpainter import open_inpainter
from invertfill.registry import fingerprint


@dataclass(frozen=True)
class Settings:
    """What all jobs of a batch share.

    Attributes:
        model, engine, device, quality, context: as `invertfill.load` takes them.
        seed, invert_mask: as `Inpainter.fill` takes them.
        overwrite: replace a file at a result's place that no batch is known to have written.
    """

    model: str
    engine: str = "auto"
    device: str = "auto"
    quality: str = "fast"
    context: float | None = None
    seed: int = 0
    invert_mask: bool = False
    overwrite: bool = False


@dataclass(frozen=True)
class Known:
    """What is kept of a result, so that it need not be made twice.

    Attributes:
        origin: hash of all that it was made from: picture, mask, models, quality, context, seed, sign of the mask.
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
        notes: what `Inpainter.fill` warned of.
        known: of the result, unless the job failed.
    """

    job: Job
    status: Literal["filled", "skipped", "failed"]
    reason: str = ""
    notes: tuple[str, ...] = ()
    seconds: float = 0.0
    known: Known | None = None


class Worker:
    """Does jobs with what it has loaded: one model, or those that are tried on each picture.

    Args:
        settings: of the batch.
        threads: of the CPU that a fill may use, 0 for all.

    Raises:
        InputError: see `invertfill.load`.
    """

    def __init__(self, settings: Settings, threads: int = 0) -> None:
        self.settings = settings
        self.fingerprint = fingerprint(settings.model)
        self.inpainter = open_inpainter(
            settings.model, settings.engine, settings.device, settings.quality, settings.context, threads
        )

    def do(self, job: Job, known: Known | None) -> Record:
        """Do a job, or find it done. Never raises: a bad file must not stop the others."""
        began = time.perf_counter()
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always", InvertFillWarning)
            try:
                record = self._do(job, known)
            except InputError as error:
                record = Record(job, "failed", str(error))
            except Exception as error:  # whatever a damaged file or a full disk brings up in a library
                record = Record(job, "failed", " ".join(f"{job.image}: {type(error).__name__}: {error}".split()))
        notes = tuple(str(warning.message) for warning in caught if issubclass(warning.category, InvertFillWarning))
        return replace(record, notes=notes, seconds=round(time.perf_counter() - began, 3))

    def _do(self, job: Job, known: Known | None) -> Record:
        if job.problem:
            raise InputError(job.problem)
        image = Encoded(job.image, places.read(job.image))
        mask = Encoded(job.mask, places.read(job.mask)) if job.mask is not None else None
        origin = self._origin(image, mask)
        present = places.read_if_there(job.out)
        if known and present is not None and known == Known(origin, _sha256(present)):
            return Record(job, "skipped", known=known)
        settings = self.settings
        filled = self.inpainter.fill(image, mask, seed=settings.seed, invert_mask=settings.invert_mask)
        data = encode_image(filled, job.out)
        # An equal file is one that a killed run wrote and had no time to note.
        if data != present:
            if present is not None and known is None and not settings.overwrite:
                raise InputError(f"{job.out}: {FOREIGN}")
            places.write(job.out, data)
        return Record(job, "filled", known=Known(origin, _sha256(data)))

    def _origin(self, image: Encoded, mask: Encoded | None) -> str:
        settings = self.settings
        inputs = [_sha256(image.data), mask and _sha256(mask.data), self.fingerprint]
        return _sha256(
            json.dumps([*inputs, settings.quality, settings.context, settings.seed, settings.invert_mask]).encode()
        )


FOREIGN = "a file that no batch here is known to have written; accepted: --overwrite, or another folder"


def _sha256(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()
