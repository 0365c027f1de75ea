"""Imported by conftest.py before all else: the suite's processes compute in one thread each.

Its pictures and models are tiny, so further threads have nothing to do but wait for one another, which they do by
spinning: with two workers of pytest-xdist on two cores, a convolution in torch takes three times the processor time.
And sums that are always split in the same way repeat bit for bit.

OpenMP, MKL and OpenBLAS read the environment, once, when they are loaded. ONNX Runtime and OpenVINO read none; they
keep to the cores that the process may run on, so each worker gets one, in turn. Processes that a test starts inherit
both. In a run without workers the cores stay as they were.
"""

from __future__ import annotations

import os

for library in ("OMP", "MKL", "OPENBLAS"):
    os.environ[f"{library}_NUM_THREADS"] = "1"

if (worker := os.environ.get("PYTEST_XDIST_WORKER")) and hasattr(os, "sched_setaffinity"):
    cores = sorted(os.sched_getaffinity(0))
    os.sched_setaffinity(0, {cores[int(worker.removeprefix("gw")) % len(cores)]})
