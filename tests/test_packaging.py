"""What `pip install` gives: the wheel holds the typing marker and every file of the models that ship."""

from __future__ import annotations

import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

pytest.importorskip("hatchling", reason="builds a wheel")

pytestmark = pytest.mark.slow
ROOT = Path(__file__).resolve().parents[1]


def test_wheel_is_whole(tmp_path: Path) -> None:
    build = [sys.executable, "-m", "hatchling", "build", "--target", "wheel", "--directory", str(tmp_path)]
    subprocess.run(build, cwd=ROOT, check=True, capture_output=True)
    (wheel,) = tmp_path.glob("*.whl")
    names = set(zipfile.ZipFile(wheel).namelist())

    tracked = subprocess.run(["git", "ls-files", "src"], cwd=ROOT, capture_output=True, text=True).stdout.split()
    if not tracked:
        pytest.skip("not in a git clone, so there is no list of files to compare with")
    wanted = {name.removeprefix("src/") for name in tracked}
    models = {f"invertfill/weights/{name}/model.safetensors" for name in ("faces-256", "photos-512", "scenery-256")}
    assert {"invertfill/py.typed", *models} <= wanted
    assert wanted <= names
