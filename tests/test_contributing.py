"""CONTRIBUTING.md holds: its drawing is that of the contracts, its worked examples work in a copy of the repository."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from conftest import ROOT

sys.path.insert(0, str(ROOT / "tools"))
import house_plan

EXAMPLES = {
    title: text
    for title, text in re.findall(
        r"^### (Add [^\n]+)\n(.*?)(?=^##|\Z)",
        (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8"),
        re.MULTILINE | re.DOTALL,
    )
}
BLOCK = re.compile(r"^```(\w+)(?: title=\"([^\"]+)\")?\n(.*?)^```$", re.MULTILINE | re.DOTALL)


def test_there_are_three_examples() -> None:
    assert len(EXAMPLES) == 3


def test_drawing_is_that_of_the_contracts(tmp_path: Path) -> None:
    house_plan.main(tmp_path / "house.svg")
    assert (tmp_path / "house.svg").read_text() == (ROOT / "docs/images/house.svg").read_text()


def changed(text: str, diff: str) -> str:
    """A text in which a diff of one place, without line numbers, is made."""
    lines = diff.splitlines(keepends=True)
    before, after = ("".join(line[1:] for line in lines if line[0] in kinds) for kinds in (" -", " +"))
    assert text.count(before) == 1, f"not there, or more than once:\n{before}"
    return text.replace(before, after)


@pytest.mark.slow
@pytest.mark.parametrize("title", EXAMPLES)
def test_worked_example(title: str, tmp_path: Path) -> None:
    for folder in ("src", "tests", "configs", "docs"):
        shutil.copytree(
            ROOT / folder, tmp_path / folder, ignore=shutil.ignore_patterns("__pycache__", "images", "weights")
        )
    for place in ("src/invertfill/weights", "examples", "pyproject.toml"):
        (tmp_path / place).symlink_to(ROOT / place)
    path = os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]])
    variables = os.environ | {"PYTHONPATH": str(tmp_path / "src"), "PATH": path}
    for language, file, text in BLOCK.findall(EXAMPLES[title]):
        if language == "diff":
            text = changed((tmp_path / file).read_text(encoding="utf-8"), text)
        if file:
            (tmp_path / file).write_text(text, encoding="utf-8")
            continue
        done = subprocess.run(["bash", "-e", "-c", text], cwd=tmp_path, env=variables, capture_output=True, text=True)
        assert done.returncode == 0, done.stdout + done.stderr
