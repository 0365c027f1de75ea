"""Ctrl-C, as a real signal to a real process: status 130 and one line, whenever it comes."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from conftest import ROOT, environment

pytestmark = [pytest.mark.slow, pytest.mark.skipif(sys.platform == "win32", reason="signals are others there")]
PICTURE = ROOT / "examples" / "landscape-sunset.png"
MASK = ROOT / "examples" / "masks" / "landscape-sunset-box.png"
# Before NAME is imported or called, the process says so and sends itself the signal.
WHEN = """
import os, signal, sys, threading
from importlib.abc import MetaPathFinder
signal.signal(signal.SIGINT, signal.default_int_handler)
name, sys.argv = sys.argv[1], ["invertfill", *sys.argv[2:]]
def interrupt():
    os.kill(os.getpid(), signal.SIGINT)
class Watch(MetaPathFinder):
    def find_spec(self, module, path=None, target=None):
        if module == name:
            interrupt()
sys.meta_path.insert(0, Watch())
import invertfill.__main__
place, _, function = name.partition(":")
if function:
    class Patch(MetaPathFinder):
        def find_spec(self, module, path=None, target=None):
            if module == "invertfill.pipeline.inpainter":
                sys.meta_path.remove(self)
                import invertfill.engines.patchmatch as engine
                fill = engine.PatchMatchEngine.fill
                def late(*arguments):
                    threading.Timer(0.02, interrupt).start()
                    return fill(*arguments)
                engine.PatchMatchEngine.fill = late
    sys.meta_path.insert(0, Patch())
invertfill.__main__.main()
"""


# As at a terminal: what runs in the background, as this suite may, has the signal ignored, and so have its processes.
HEARS = (
    "import signal; signal.signal(signal.SIGINT, signal.default_int_handler)\n"
    "from invertfill.__main__ import main; main()"
)


def fill(out: Path, *start: str, model: str = "auto", stderr: int = subprocess.PIPE) -> subprocess.Popen[str]:
    command = [sys.executable, *start, "fill", str(PICTURE), "--mask", str(MASK), "-o", str(out), "--model", model]
    env = environment() | {"TERM": "xterm"}
    return subprocess.Popen(command, stderr=stderr, stdout=subprocess.PIPE, text=True, env=env)


def assert_interrupted(process: subprocess.Popen[str], folder: Path) -> None:
    out, errors = process.communicate(timeout=60)
    assert (process.returncode, out, errors) == (130, "", "invertfill: interrupted\n")
    assert not list(folder.iterdir())


@pytest.mark.parametrize(
    "module", ["typer", "numpy", "PIL.Image", "onnxruntime", "onnxruntime.capi._pybind_state", "patchmatch"]
)
def test_during_an_import(tmp_path: Path, module: str) -> None:
    pytest.importorskip("patchmatch", reason="needs PyPatchMatch")
    process = fill(tmp_path / "out.png", "-c", WHEN, module, model="patchmatch" if module == "patchmatch" else "auto")
    assert_interrupted(process, tmp_path)


def test_while_native_code_fills(tmp_path: Path) -> None:
    pytest.importorskip("patchmatch", reason="needs PyPatchMatch")
    assert_interrupted(fill(tmp_path / "out.png", "-c", WHEN, ":fill", model="patchmatch"), tmp_path)


def test_a_terminal_has_its_cursor_back(tmp_path: Path) -> None:
    pytest.importorskip("patchmatch", reason="needs PyPatchMatch")
    ours, theirs = os.openpty()
    process = fill(tmp_path / "out.png", "-c", WHEN, ":fill", model="patchmatch", stderr=theirs)
    assert process.wait(60) == 130
    os.close(theirs)
    shown = os.read(ours, 100_000).decode()
    os.close(ours)
    assert "\x1b[?25l" in shown and shown.endswith("\x1b[?25hinvertfill: interrupted\r\n")


def test_at_ten_moments(tmp_path: Path) -> None:
    began = time.monotonic()
    assert fill(tmp_path / "out.png", "-c", HEARS).wait(120) == 0
    whole = time.monotonic() - began
    (tmp_path / "out.png").unlink()
    interrupted = 0
    for moment in range(10):
        process = fill(tmp_path / "out.png", "-c", HEARS)
        time.sleep(whole * (0.15 + 0.07 * moment))  # before, Python itself starts
        process.send_signal(signal.SIGINT)
        if process.wait(60) == 0:  # it was faster this time
            (tmp_path / "out.png").unlink()
            continue
        interrupted += 1
        assert_interrupted(process, tmp_path)
    assert interrupted >= 5


def test_a_file_that_is_being_written_goes(tmp_path: Path) -> None:
    """Where a file can't be without a name."""
    code = (
        "import os, signal, sys; signal.signal(signal.SIGINT, signal.default_int_handler)\n"
        "vars(os).pop('O_TMPFILE', None); sync = os.fsync\n"
        "os.fsync = lambda file: os.kill(os.getpid(), signal.SIGINT)\n"
        "from invertfill.__main__ import main; main()"
    )
    assert_interrupted(fill(tmp_path / "out.png", "-c", code), tmp_path)


def test_a_job_in_the_background_hears_of_none(tmp_path: Path) -> None:
    code = (
        "import os, signal; signal.signal(signal.SIGINT, signal.SIG_IGN)\n"
        "from invertfill.__main__ import main; os.kill(os.getpid(), signal.SIGINT); main()"
    )
    process = fill(tmp_path / "out.png", "-c", code)
    assert process.communicate(timeout=120) and process.returncode == 0 and (tmp_path / "out.png").exists()
