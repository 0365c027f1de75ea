"""Threads: the suite's own, and those of an engine whose process may not use the whole machine."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from conftest import start

pytestmark = pytest.mark.slow

CODE = """
import os, sys
from pathlib import Path
os.sched_setaffinity(0, {int(sys.argv[2])})
import invertfill
inpainter = invertfill.load(sys.argv[1], engine="onnx")
inpainter.sample([0])
print({f"{path}: {line}" for path in Path("/proc/self/task").glob("*/status") for line in path.read_text().splitlines()
       if line.startswith("Cpus_allowed_list") and line.split()[1] != sys.argv[2]} or "kept")
"""


def test_a_worker_of_the_suite_computes_in_one_thread() -> None:
    torch = pytest.importorskip("torch")
    assert torch.get_num_threads() == 1


@pytest.mark.skipif(not hasattr(os, "sched_setaffinity"), reason="needs Linux, where cores can be taken from a process")
def test_onnx_runtime_keeps_to_the_cores_of_its_process(tiny_model_folder: Path) -> None:
    given = os.sched_getaffinity(0)
    os.sched_setaffinity(0, range(os.cpu_count() or 1))  # for a moment, to see which there are
    cores = os.sched_getaffinity(0)
    os.sched_setaffinity(0, given)
    if len(cores) < 2:
        pytest.skip("needs two cores")
    for core in sorted(cores)[:2]:
        result = start(tiny_model_folder, core, code=CODE)
        assert (result.returncode, result.stdout) == (0, "kept\n"), result.stderr
