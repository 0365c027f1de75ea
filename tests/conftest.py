"""What several test files share: the data beside the repository, a tiny model, a picture with a hole, the commands."""

from __future__ import annotations

import one_thread  # noqa: F401  before NumPy, torch and the engines are loaded

# isort: split
import importlib.util
import os
import re
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any

import browsing
import numpy as np
import pytest
from PIL import Image

from invertfill import cli

# absl, which OpenVINO imports, closes the stream that is standard error when it is imported, unless it is the process's
# own: it would close pytest's as soon as a server sets up logging.
with suppress(ImportError):
    import absl.logging

    absl.logging.get_absl_handler().python_handler.setStream(sys.__stderr__)

ROOT = Path(__file__).parent.parent
GIVEN_WEIGHTS = os.environ.get("INVERTFILL_WEIGHTS")
TINY: dict[str, Any] = {
    "generator": {
        "kind": "stylegan2",
        "size": 32,
        "channel_base": 512,
        "channel_max": 16,
        "mapping_layers": 2,
        "latent_dim": 24,
    },
    "encoder": {"trunk": "compact", "channels": [8, 12, 16], "blocks": [1, 1, 1], "pyramid_channels": 8},
    "premodulation": {"hidden": 8},
    "rgb_branch": {"channels": [4, 8, 8], "bottleneck": 1},
}


def script(path: Path) -> ModuleType:
    """A Python file that belongs to no package, such as those in recipes/, as a module."""
    spec = importlib.util.spec_from_file_location(path.stem, path)
    assert spec and spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="session")
def shared() -> Path:
    """The project's data and weights for training and tests, which are not part of the repository."""
    folder = ROOT.parent / "shared"
    if not folder.is_dir():
        pytest.skip("needs the folder ../shared beside the repository")
    return folder


@pytest.fixture
def need_weights(monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """A function that finds weights of feature networks by their names, or skips the test."""
    pytest.importorskip("torch", reason="needs the train extra")
    from invertfill.errors import InputError
    from invertfill.losses.weights import find_weights, weights_folder

    def need(*names: str) -> None:
        for folder in filter(None, (GIVEN_WEIGHTS, str(ROOT.parent / "shared" / "weights"), str(weights_folder()))):
            monkeypatch.setenv("INVERTFILL_WEIGHTS", folder)
            with suppress(InputError):
                for name in names:
                    find_weights(name)
                return
        pytest.skip(f"needs weights of {' and '.join(names)}: in INVERTFILL_WEIGHTS, ../shared/weights or the cache")

    return need


@pytest.fixture(scope="session")
def tiny_model_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model of 32 px with random weights, none left at a constant. Tests that change files change a copy."""
    torch = pytest.importorskip("torch")
    from invertfill.export import export_model
    from invertfill.nn.invertfill import InvertFill

    torch.manual_seed(0)
    model = InvertFill(TINY)
    with torch.no_grad():
        for name, tensor in model.state_dict().items():
            if tensor.is_floating_point() and not name.endswith("running_var"):
                tensor.add_(torch.randn_like(tensor) * 0.1)
    provenance = {"name": "tiny", "domain": "noise", "licence": "CC0", "source": "chance"}
    return export_model(model, tmp_path_factory.mktemp("models") / "tiny", provenance)


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    playwright = pytest.importorskip("playwright.sync_api", reason="drives the browser")
    with playwright.sync_playwright() as driver:
        browser = browsing.launched(driver)
        yield browser
        browser.close()


@pytest.fixture
def photo(tmp_path: Path) -> Path:
    """photo.png, RGB noise of 40 x 24 pixels: every pixel tells if it was touched."""
    pixels = np.random.default_rng(1).integers(0, 256, (24, 40, 3), np.uint8)
    Image.fromarray(pixels).save(tmp_path / "photo.png")
    return tmp_path / "photo.png"


@pytest.fixture
def mask(tmp_path: Path) -> Path:
    """mask.png for photo.png: two holes, one of them at the edge."""
    hole = np.zeros((24, 40), np.uint8)
    hole[4:12, 6:18] = 255
    hole[15:, 30:] = 255
    Image.fromarray(hole).save(tmp_path / "mask.png")
    return tmp_path / "mask.png"


@dataclass
class Result:
    """How a command ended."""

    status: int
    out: str
    err: str


@pytest.fixture
def run(capsys: pytest.CaptureFixture[str]) -> Callable[..., Result]:
    """Run main() in this process."""

    def run(*arguments: object) -> Result:
        with pytest.raises(SystemExit) as end:
            cli.main([str(argument) for argument in arguments])
        assert isinstance(end.value.code, int)
        return Result(end.value.code, *capsys.readouterr())

    return run


@pytest.fixture
def fill(run: Callable[..., Result], tiny_model_folder: Path) -> Callable[..., Result]:
    """The command with the tiny model."""
    return lambda *arguments: run("fill", *arguments, "--model", tiny_model_folder)


def start(*arguments: object, code: str | None = None) -> subprocess.CompletedProcess[str]:
    """Run the real thing: a new interpreter."""
    what = ["-c", code] if code else ["-m", "invertfill"]
    command = [sys.executable, *what, *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, env=environment(), timeout=300)


@contextmanager
def serving(*options: object) -> Iterator[tuple[subprocess.Popen[str], str]]:
    """The real command in a process of its own, and its address.

    Its engine is that of a single fill, so that both can be compared byte for byte: on a processor with bfloat16 a
    server would take OpenVINO, which rounds otherwise.
    """
    command = [sys.executable, "-m", "invertfill", "serve", "--port", "0", "--engine", "onnx", *map(str, options)]
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
    with subprocess.Popen(command, text=True, env=environment(), **pipes) as process:
        try:
            assert process.stdout
            line = process.stdout.readline()
            assert line.startswith("http://127.0.0.1:"), line + (process.stderr.read() if process.stderr else "")
            yield process, line.split()[0]
        finally:
            process.kill()


def environment() -> dict[str, str]:
    """Of a process that finds the package in this repository."""
    path = os.pathsep.join(filter(None, [str(ROOT / "src"), os.environ.get("PYTHONPATH")]))
    return {**os.environ, "PYTHONPATH": path}


def pixels(path: Path) -> np.ndarray:
    with Image.open(path) as image:
        return np.asarray(image)


def assert_filled(photo: Path, mask: Path, out: Path) -> None:
    before, after, hole = pixels(photo), pixels(out), pixels(mask) > 127
    assert after.shape == before.shape
    np.testing.assert_array_equal(after[~hole], before[~hole])
    assert (after[hole] != before[hole]).mean() > 0.9


def counts(text: str) -> tuple[int, ...]:
    """The numbers of the line that says how many of what were done: the first line that begins with one."""
    line = next(line for line in text.splitlines() if re.match(r"\d+ [a-z]", line))
    return tuple(map(int, re.findall(r"\d+", line.partition(":")[0])))


def assert_one_line(result: Result, *parts: str) -> None:
    """Bad input, told in one printable line."""
    assert result.err.rstrip("\n").isprintable()
    assert (result.status, result.out) == (2, "") and result.err.startswith("invertfill: ")
    assert result.err.count("\n") == 1 and result.err.endswith("\n")
    for part in parts:
        assert part in result.err
