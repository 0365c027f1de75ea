"""benchmarks/profiling.py, which benchmarks/run.py builds upon: it runs a shipped model, and counts its operations."""

from __future__ import annotations

import sys

import pytest
from conftest import ROOT

from invertfill.registry import find_models

sys.path.insert(0, str(ROOT / "benchmarks"))
from profiling import profile

pytestmark = pytest.mark.slow


def test_operations_of_a_shipped_model() -> None:
    (model,) = find_models("faces-256")
    assert sum(node.flops for node in profile(model, 0, 1)) == pytest.approx(26.5e9, rel=0.02)  # as in docs/speed.md
