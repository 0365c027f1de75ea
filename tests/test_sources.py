"""Pictures and masks as paths, bytes and open files; what is none of these ends in one short line."""

from __future__ import annotations

import io
import socket
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from conftest import Result, assert_one_line

import invertfill
from invertfill.errors import LONGEST, InputErrors, shortened


@pytest.fixture(scope="module")
def inpainter(tiny_model_folder: Path) -> invertfill.Inpainter:
    return invertfill.load(tiny_model_folder)


def test_all_sources_give_the_same_fill(inpainter: invertfill.Inpainter, photo: Path, mask: Path) -> None:
    expected = np.asarray(inpainter.fill(photo, mask))
    ways: list[Callable[[Path], Any]] = [str, Path.read_bytes, lambda path: bytearray(path.read_bytes())]
    ways += [lambda path: io.BytesIO(path.read_bytes()), lambda path: path.open("rb")]
    for way in ways:
        np.testing.assert_array_equal(np.asarray(inpainter.fill(way(photo), way(mask))), expected)


def test_an_open_file_is_named_and_bytes_are_called_what_they_are_for(inpainter: invertfill.Inpainter, photo: Path):
    photo.write_bytes(b"nothing")
    with photo.open("rb") as file, pytest.raises(invertfill.InputError, match=r"photo\.png: "):
        inpainter.fill(file, box="0,0,1,1")
    with pytest.raises(invertfill.InputError, match=r"^image: "):
        inpainter.fill(b"nothing", box="0,0,1,1")
    with pytest.raises(invertfill.InputError, match=r"^mask: "):
        inpainter.fill(np.zeros((9, 9, 3), np.uint8), b"nothing")


@pytest.mark.parametrize("where", ["image", "mask"])
@pytest.mark.parametrize(
    ("source", "part"),
    [
        ("https://example.org/a.png", "an address"),
        (Path("https://example.org/a.png"), "an address"),
        ("s3://bucket/a.png", "an address"),
        ("data:image/png;base64," + "A" * 5000, "an address"),
        ("a" * 5000, "aaa"),
        (io.StringIO("text"), "binary"),
        (7, "array"),
        (["a.png"], "array"),
    ],
    ids=["https", "path", "s3", "data", "long", "text", "number", "list"],
)
def test_what_is_no_source(inpainter: invertfill.Inpainter, where: str, source: Any, part: str) -> None:
    picture = np.zeros((9, 9, 3), np.uint8)
    with pytest.raises(ValueError, match=part) as caught:
        inpainter.fill(*((source, None) if where == "image" else (picture, source)))
    assert isinstance(caught.value, invertfill.InputError) and len(str(caught.value)) <= LONGEST


def test_an_address_at_the_command_line(fill: Callable[..., Result], photo: Path, tmp_path: Path) -> None:
    out = tmp_path / "out.png"
    assert_one_line(fill("https://example.org/a.png", "--box", "0,0,1,1", "-o", out), "an address")
    assert_one_line(fill(photo, "--mask", "https://example.org/a.png", "-o", out), "an address")
    assert not out.exists()


def test_a_file_with_such_a_name_is_one(inpainter: invertfill.Inpainter, photo: Path, monkeypatch) -> None:
    (photo.parent / "data:").mkdir()
    photo.rename(photo.parent / "data:" / "a.png")
    monkeypatch.chdir(photo.parent)
    assert inpainter.fill("data:/a.png", box="0,0,1,1").image.size == (40, 24)


def test_long_messages_keep_beginning_and_end() -> None:
    text = shortened("a" * 400 + "; accepted: " + "b" * 40)
    assert len(text) == LONGEST and text.startswith("aaa") and text.endswith("; accepted: " + "b" * 40)
    assert shortened("x" * LONGEST) == "x" * LONGEST
    errors = InputErrors(["a" * 400, "b"])
    assert len(str(errors)) <= LONGEST and [len(line) for line in errors.lines] == [LONGEST, 1]


def test_a_server_that_is_not_there_is_no_bad_input() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listening:
        port = listening.getsockname()[1]
    with pytest.raises(ConnectionError, match="http"):
        invertfill.Client(f"http://127.0.0.1:{port}").models()
    with pytest.raises(invertfill.InputError, match="accepted: an address"):
        invertfill.Client("nowhere").models()
