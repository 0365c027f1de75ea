"""Every block of Python in docs/python.md runs as it stands, with the weights that ship."""

from __future__ import annotations

import ast
import io
import re
import shutil
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from conftest import ROOT, assert_filled, serving
from PIL import Image

pytestmark = pytest.mark.slow
EXAMPLES = ROOT / "examples"
PAGE = (ROOT / "docs" / "python.md").read_text(encoding="utf-8")
BLOCKS = [
    (part.partition("\n")[0].lstrip("# "), code)
    for part in re.split(r"(?m)^(?=#+ )", PAGE.replace("# In Python", "## One picture", 1))
    for code in re.findall(r"(?s)```python\n(.*?)```", part)
]
SERVED = "http://127.0.0.1:8000"


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """What the page takes for granted: a photo, its mask, folders of both, a model of one's own."""
    monkeypatch.chdir(tmp_path)
    for name, its_mask in (("photo.png", "mask.png"), ("photos/a.png", "masks/a.png"), ("photos/b.png", "masks/b.png")):
        portrait = "hopper" if "b.png" in name else "astronaut"
        for place, source in ((name, f"portrait-{portrait}.png"), (its_mask, f"masks/portrait-{portrait}-box.png")):
            Path(place).parent.mkdir(exist_ok=True)
            shutil.copy(EXAMPLES / source, place)
    Path("my-model").symlink_to(ROOT / "src" / "invertfill" / "weights" / "scenery-256")
    return tmp_path


def filled(*names: str) -> None:
    for name in names:
        assert_filled(Path("photo.png"), Path("mask.png"), Path(name))
    assert len({Path(name).read_bytes() for name in names}) == len(names)


def check_folder(_: dict[str, Any]) -> None:
    for name in ("a.png", "b.png"):
        assert_filled(Path("photos") / name, Path("masks") / name, Path("filled") / name)


def check_several(_: dict[str, Any]) -> None:
    filled("filled-0.png", "filled-1.png", "filled-2.png")
    assert Image.open("wider.png").size == (256 + 64 + 40, 256) and Image.open("wide.png").size == (455, 256)


def check_array(names: dict[str, Any]) -> None:
    hole = names["hole"]
    assert (names["filled"][hole] != names["picture"][hole]).mean() > 0.9


def check_notebook(names: dict[str, Any]) -> None:
    shown = Image.open(io.BytesIO(names["_"]._repr_png_()))
    np.testing.assert_array_equal(np.asarray(shown), np.asarray(names["_"]))


def check_fastapi(names: dict[str, Any]) -> None:
    from starlette.testclient import TestClient

    client = TestClient(names["app"])
    files = {"image": Path("photo.png").read_bytes(), "mask": Path("mask.png").read_bytes()}
    answer = client.post("/fill", files=files)
    assert (answer.status_code, answer.headers["content-type"]) == (200, "image/png")
    Path("answer.png").write_bytes(answer.content)
    filled("answer.png")
    assert client.post("/fill", files=files | {"image": b"none"}).status_code == 422


def check_model(names: dict[str, Any]) -> None:
    assert "scenery-256" in repr(names["inpainter"])
    filled("mine.png")


CHECKS = {
    "One picture": lambda _: filled("filled.png"),
    "Several fills, and more around a picture": check_several,
    "A folder": check_folder,
    "A mask from an array": check_array,
    "In a notebook": check_notebook,
    "Threads": lambda _: filled("thread-0.png", "thread-1.png", "thread-2.png"),
    "asyncio": lambda _: filled("async-1.png", "async-2.png"),
    "FastAPI": check_fastapi,
    "Without loading a model": lambda _: filled("served.png"),
    "A model of your own": check_model,
    "What can go wrong": lambda _: None,
}


def test_every_block_is_checked() -> None:
    assert [title for title, _ in BLOCKS] == list(CHECKS)


@pytest.mark.parametrize(("title", "code"), BLOCKS, ids=[title for title, _ in BLOCKS])
def test_a_block_runs(title: str, code: str, folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    if SERVED in code or "fastapi" in code:
        pytest.importorskip("fastapi", reason="needs the app extra")
    with serving() if SERVED in code else nullcontext((None, "")) as (_, address):
        names: dict[str, Any] = {}
        *lines, last = ast.parse(code.replace(SERVED, address.rstrip("/"))).body
        exec(compile(ast.Module(lines, []), title, "exec"), names)
        if isinstance(last, ast.Expr):
            names["_"] = eval(compile(ast.Expression(last.value), title, "eval"), names)
        else:
            exec(compile(ast.Module([last], []), title, "exec"), names)
    CHECKS[title](names)
    if title == "What can go wrong":
        assert "no-such-mask.png" in capsys.readouterr().out
