"""Writes the site: the page, the package, the models and what they run on, as files for any web server."""

from __future__ import annotations

import hashlib
import io
import json
import shutil
import zipfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from invertfill.browser.runtime import RUNTIME, copy_runtime
from invertfill.errors import InputError
from invertfill.options import AUTO
from invertfill.registry import FACE_DETECTOR, FILES, SUMS, ModelInfo, find_models, sha256_of

SOURCE = Path(__file__).parent.parent
PAGES = (SOURCE / "serve/page", Path(__file__).parent / "page")  # files of the second replace those of the first
SERVER = ("docs.html", "docs.js", "docs.css", "server.js")  # of a page that has one
WORKER = "service-worker.js"  # lies at the top, as it answers for all that is beside it and below
INSIDE = (
    *("__init__.py", "errors.py", "notes.py", "options.py", "registry.py", "engines/", "imaging/", "pipeline/"),
    *("browser/__init__.py", "browser/door.py", "browser/onnxruntime_web.py"),
)
LIMITS = {"upload": 500_000_000, "pixels": 50_000_000, "samples": 8}  # of one picture in a browser's 4 GB
GENERAL = "photos-512"
MODELS = (GENERAL, AUTO, "faces-256", "scenery-256")  # the first is what a visitor downloads
POLICY = (
    "default-src 'none'; base-uri 'none'; form-action 'none'; connect-src 'self'; style-src 'self'; worker-src 'self'; "
    "img-src 'self' blob: data:; script-src 'self' 'wasm-unsafe-eval'"
)
ABOUT_AUTO = "photographs of anything, and faces by a model of their own"
EDITS = {  # of the page: what is different where there is no server
    '<meta charset="utf-8">': f'<meta charset="utf-8">\n<meta http-equiv="Content-Security-Policy" content="{POLICY}">',
    "It stays on this server: nothing is kept.": "It stays on this machine: nothing is sent anywhere.",
    '  <a href="docs">For programs</a>\n': "",
}


@dataclass(frozen=True)
class Site:
    """What was written.

    Attributes:
        folder: where.
        files: how many.
        bytes: of all of them together.
        first: bytes that the first fill downloads.
    """

    folder: Path
    files: int
    bytes: int
    first: int


def build_site(folder: Path, runtime: Path | None = None, models: Sequence[str] = MODELS) -> Site:
    """Write the site into a folder, which must be empty or not be there.

    Args:
        runtime: see `copy_runtime`.
        models: names of models that ship, the default first.

    Raises:
        InputError: the folder holds something, a model doesn't ship, or the runtime isn't to be had. Nothing is left
            behind then.
    """
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise InputError(f"{folder}: there is something already; accepted: a new or an empty folder")
    there = folder.exists()
    try:
        return _write(folder, runtime, models)
    except BaseException:
        for path in folder.iterdir() if there else ():
            shutil.rmtree(path) if path.is_dir() else path.unlink()
        if not there:
            shutil.rmtree(folder, ignore_errors=True)
        raise


def _write(folder: Path, runtime: Path | None, models: Sequence[str]) -> Site:
    needed = {name: _weights(find_models(name)) for name in models}
    (folder / "runtime").mkdir(parents=True)
    copy_runtime(runtime, folder / "runtime")
    weights = list(dict.fromkeys(path for paths in needed.values() for path in paths))
    for path in weights:
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(SOURCE / path, folder / path)
    (folder / "invertfill.zip").write_bytes(_package())
    page = _write_page(folder)
    large = [f"runtime/{name}" for name in RUNTIME] + ["invertfill.zip"]
    files = {path: _about(folder / path) for path in [*large, *weights]}
    offered = [_offer(name, [*large, *paths]) for name, paths in needed.items()]
    told = {"models": offered, "limits": LIMITS, "files": files}
    (folder / "site.json").write_text(json.dumps(told, indent=1), encoding="utf-8")
    _write_worker(folder, ["./", "site.json", *page])
    written = [path for path in folder.rglob("*") if path.is_file()]
    first = sum(files[path]["bytes"] for path in offered[0]["files"])
    return Site(folder, len(written), sum(path.stat().st_size for path in written), first)


def _weights(models: Sequence[ModelInfo]) -> list[str]:
    """The files of models that ship, and of the detector of faces where there is one for portraits among others."""
    if all(model.folder is None for model in models):
        raise InputError(f"{models[0].name}: not for browsers; accepted: {', '.join(MODELS)}")
    paths = []
    for model in models:
        if model.folder is None:
            continue  # PatchMatch
        if SOURCE not in model.folder.resolve().parents:
            raise InputError(f"{model.folder}: a model that doesn't ship; accepted: {', '.join(MODELS)}")
        paths += [model.file(name) for name in (*FILES, SUMS)]
    if len(models) > 1:
        paths += [FACE_DETECTOR, FACE_DETECTOR.with_name(SUMS)]
    return [path.relative_to(SOURCE).as_posix() for path in paths]


def _offer(name: str, files: list[str]) -> dict[str, Any]:
    """As /v1/models tells it of a server, and which files it takes."""
    if name == AUTO:
        return {"name": name, "domain": ABOUT_AUTO, "licence": "", "pixels": 0, "files": files}
    (model,) = find_models(name)
    return {"name": name, "domain": model.domain, "licence": model.licence, "pixels": model.size, "files": files}


def _about(path: Path) -> dict[str, Any]:
    return {"bytes": path.stat().st_size, "sha256": sha256_of(path)}


def _package() -> bytes:
    """The part of this package that fills, as a zip; the same bytes for the same files."""
    data = io.BytesIO()
    with zipfile.ZipFile(data, "w", zipfile.ZIP_DEFLATED) as archive:
        for path in sorted(SOURCE.rglob("*.py")):
            name = path.relative_to(SOURCE).as_posix()
            if name.startswith(INSIDE):
                entry = zipfile.ZipInfo(f"{SOURCE.name}/{name}")
                entry.compress_type = zipfile.ZIP_DEFLATED
                archive.writestr(entry, path.read_bytes())
    return data.getvalue()


def _write_page(folder: Path) -> list[str]:
    """The page's files; their paths."""
    to = folder / "page"
    to.mkdir()
    for source in PAGES:
        for path in source.iterdir():
            if path.is_file() and path.name not in (*SERVER, WORKER):
                shutil.copyfile(path, to / path.name)
    html = (to / "index.html").read_text(encoding="utf-8")
    for before, after in EDITS.items():
        assert html.count(before) == 1, before
        html = html.replace(before, after)
    (to / "index.html").unlink()
    (folder / "index.html").write_text(html, encoding="utf-8")
    return ["index.html", *sorted(f"page/{path.name}" for path in to.iterdir())]


def _write_worker(folder: Path, page: Sequence[str]) -> None:
    """The service worker, which differs when any of the page's files does: so a browser knows that there are others."""
    script = (PAGES[1] / WORKER).read_text(encoding="utf-8")
    digest = hashlib.sha256(script.encode())
    for path in page[1:]:
        digest.update((folder / path).read_bytes())
    policy = f"{POLICY}; frame-ancestors 'none'"  # which a page can't say itself
    values = {"VERSION": digest.hexdigest()[:16], "PAGE": list(page), "CONTENT": policy}
    lines = [f"const {name} = {json.dumps(value)};\n" for name, value in values.items()]
    (folder / WORKER).write_text("".join([*lines, "\n", script]), encoding="utf-8")
