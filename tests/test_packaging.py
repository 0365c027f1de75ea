"""What is published: a wheel and an sdist that a package index takes, and that work where nothing else is."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import sysconfig
import tarfile
import zipfile
from pathlib import Path

import numpy as np
import pytest
from conftest import ROOT
from PIL import Image

pytest.importorskip("hatchling", reason="builds a wheel")
pytest.importorskip("twine", reason="checks it")
sys.path.insert(0, str(ROOT))
from hatch_build import absolute

LARGEST = 100e6  # bytes: what the usual package index takes of one file
MODELS = ("faces-256", "photos-512", "scenery-256")
PAGE = "![A *view*](docs/a.jpg) and [b](docs/b.md#c), [d](https://e.org), [f](#g)"


def test_links_of_the_index_page_lead_into_the_repository() -> None:
    site = "https://example.org/me/it"
    assert absolute(PAGE, site) == (
        f"![A *view*]({site}/raw/HEAD/docs/a.jpg) and [b]({site}/blob/HEAD/docs/b.md#c), [d](https://e.org), [f](#g)"
    )


def test_without_an_address_the_index_page_has_no_broken_link() -> None:
    assert absolute(PAGE, "") == "*Picture: A *view*.* and b, [d](https://e.org), [f](#g)"
    links = re.findall(r"\]\(([^)]+)\)", absolute((ROOT / "README.md").read_text(encoding="utf-8"), ""))
    assert all(link.startswith(("http", "#")) for link in links)


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """The wheel and the sdist."""
    folder = tmp_path_factory.mktemp("dist")
    subprocess.run([sys.executable, "-m", "hatchling", "build", "--directory", str(folder)], cwd=ROOT, check=True)
    (wheel,), (sdist,) = folder.glob("*.whl"), folder.glob("*.tar.gz")
    return wheel, sdist


def tracked(*folders: str) -> set[str]:
    names = subprocess.run(["git", "ls-files", *folders], cwd=ROOT, capture_output=True, text=True).stdout.split()
    return set(names) or pytest.skip("not in a git clone, so there is no list of files to compare with")


@pytest.mark.slow
def test_wheel_is_whole(built: tuple[Path, Path]) -> None:
    wheel, sdist = built
    wanted = {name.removeprefix("src/") for name in tracked("src")}
    models = {f"invertfill/weights/{name}/{file}" for name in MODELS for file in ("model.safetensors", "LICENSE")}
    assert {"invertfill/py.typed", *models} <= wanted
    assert wanted <= set(zipfile.ZipFile(wheel).namelist())
    with tarfile.open(sdist) as archive:
        held = {name.partition("/")[2] for name in archive.getnames()}
    assert {*tracked("src", "tests"), "pyproject.toml", "hatch_build.py"} <= held
    assert max(wheel.stat().st_size, sdist.stat().st_size) < LARGEST


@pytest.mark.slow
def test_an_index_takes_both(built: tuple[Path, Path]) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "twine", "check", "--strict", *map(str, built)], capture_output=True, text=True
    )
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.slow
def test_wheel_fills_a_picture_in_an_empty_folder(built: tuple[Path, Path], tmp_path: Path) -> None:
    """In an environment of its own, which borrows the packages that it needs from this one, and without a network."""
    home, desk = tmp_path / "venv", tmp_path / "desk"
    desk.mkdir()
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", str(home)], check=True)
    python = home / "bin" / "python"
    install = [sys.executable, "-m", "pip", "--python", str(python), "install", "--no-index", "--no-deps"]
    subprocess.run([*install, str(built[0])], check=True)
    (site,) = home.glob("lib/python*/site-packages")
    (site / "borrowed.pth").write_text(sysconfig.get_path("purelib") + "\n", encoding="utf-8")

    picture = np.random.default_rng(0).integers(0, 256, (64, 80, 3), np.uint8)
    Image.fromarray(picture).save(desk / "photo.png")
    nowhere = {name: "http://127.0.0.1:9" for name in ("http_proxy", "https_proxy")}
    kept = {name: value for name, value in os.environ.items() if name not in ("PYTHONPATH", "INVERTFILL_WEIGHTS")}

    def run(*words: str) -> str:
        done = subprocess.run(words, cwd=desk, env=kept | nowhere, capture_output=True, text=True)
        assert done.returncode == 0, done.stderr
        return done.stdout

    assert Path(run(str(python), "-c", "import invertfill; print(invertfill.__file__)").strip()).is_relative_to(site)
    assert set(MODELS) <= set(run(str(home / "bin" / "invertfill"), "models").split())
    run(str(home / "bin" / "invertfill"), "fill", "photo.png", "--box", "20,20,16,16", "-o", "filled.png")
    filled = np.asarray(Image.open(desk / "filled.png"))
    changed = (filled != picture).any(axis=2)
    assert changed[20:36, 20:36].any()
    changed[20:36, 20:36] = False
    assert not changed.any()
