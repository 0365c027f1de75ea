"""Pipes, several pictures and what is there already: where pictures come from and go to at the command line."""

from __future__ import annotations

import io
import os
import pty
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from conftest import Result, assert_filled, assert_one_line, counts, environment, pixels
from PIL import Image

pytestmark = pytest.mark.slow


@pytest.fixture
def piped(tiny_model_folder: Path) -> Callable[..., subprocess.CompletedProcess[bytes]]:
    """The real command, between two pipes."""

    def run(given: bytes, *arguments: object) -> subprocess.CompletedProcess[bytes]:
        command = [sys.executable, "-m", "invertfill", *map(str, arguments), "--model", str(tiny_model_folder)]
        return subprocess.run(command, input=given, capture_output=True, env=environment(), timeout=300)

    return run


@pytest.mark.parametrize("suffix", [".png", ".jpg", ".tif"])
def test_a_picture_through_pipes_is_the_one_through_files(
    piped, fill, photo: Path, mask: Path, tmp_path: Path, suffix: str
) -> None:
    given = tmp_path / f"given{suffix}"
    Image.open(photo).save(given)
    out = piped(given.read_bytes(), "fill", "-", "--mask", mask, "-o", "-")
    fill(given, "--mask", mask, "-o", tmp_path / f"out{suffix}")
    assert out.returncode == 0 and out.stdout == (tmp_path / f"out{suffix}").read_bytes()
    assert out.stderr.count(b"\n") == 1  # the line of success, which has no place beside the picture
    assert piped(given.read_bytes(), "fill", "-", "--mask", mask, "-o", "-", "-q").stderr == b""


def test_the_mask_through_a_pipe_and_another_format(piped, photo: Path, mask: Path, tmp_path: Path) -> None:
    out = piped(mask.read_bytes(), "fill", photo, "--mask", "-", "-o", "-", "--format", "webp")
    with Image.open(io.BytesIO(out.stdout)) as filled:
        assert filled.format == "WEBP"
    (tmp_path / "out.webp").write_bytes(out.stdout)
    assert_filled(photo, mask, tmp_path / "out.webp")


def test_more_around_a_picture_through_pipes(piped, photo: Path) -> None:
    out = piped(photo.read_bytes(), "outpaint", "-", "--left", "25%", "-o", "-")
    assert Image.open(io.BytesIO(out.stdout)).size == (50, 24)
    np.testing.assert_array_equal(np.asarray(Image.open(io.BytesIO(out.stdout)))[:, 10:], pixels(photo))


BAD = {
    "both": ("fill - --mask - -o out.png", "one pipe"),
    "nothing": ("fill - --mask mask.png -o out.png", "standard input: "),
    "samples": ("fill photo.png --mask mask.png -o - --samples 2", "2 samples"),
    "json": ("fill photo.png --mask mask.png -o - --json", "--json"),
    "sheet": ("fill photo.png --mask mask.png -o out.png --contact-sheet -", "--contact-sheet"),
    "format of a file": ("fill photo.png --mask mask.png -o out.png --format png", "--format"),
    "unknown format": ("fill photo.png --mask mask.png -o - --format psd", "psd; accepted: .png"),
    "folder for what has no name": ("fill - --mask mask.png -o .", "no name"),
    "several to a pipe": ("fill photo.png mask.png -o -", "one picture"),
}


@pytest.mark.parametrize("case", BAD)
def test_what_pipes_cannot_do_is_one_line(
    case: str, piped, photo: Path, mask: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    before = sorted(tmp_path.iterdir())
    arguments, message = BAD[case]
    out = piped(b"", *arguments.split())
    assert_one_line(Result(out.returncode, out.stdout.decode(), out.stderr.decode()), message)
    assert sorted(tmp_path.iterdir()) == before


@pytest.mark.parametrize("arguments", [("-", "-o", "out.png"), ("photo.png", "--mask", "mask.png", "-o", "-")])
def test_no_picture_goes_to_or_comes_from_a_terminal(photo: Path, mask: Path, arguments: tuple[str, ...]) -> None:
    ours, theirs = pty.openpty()
    command = [sys.executable, "-m", "invertfill", "fill", *arguments]
    pipes = {"stdin": theirs, "stdout": theirs, "stderr": subprocess.PIPE}
    out = subprocess.run(command, cwd=photo.parent, env=environment(), timeout=300, **pipes)
    os.close(theirs), os.close(ours)
    assert out.returncode == 2 and b"terminal" in out.stderr and out.stderr.count(b"\n") == 1


@pytest.fixture
def three(photo: Path, tmp_path: Path) -> list[Path]:
    """Three pictures in two folders."""
    places = [tmp_path / "a.png", tmp_path / "b.png", tmp_path / "deeper" / "c.png"]
    places[-1].parent.mkdir()
    for place in places:
        shutil.copy(photo, place)
    return places


def test_several_pictures(fill, three: list[Path], mask: Path, tmp_path: Path) -> None:
    result = fill(*three, "--mask", mask, "-o", tmp_path / "out")
    assert result.status == 0 and counts(result.out) == (3, 3)
    for picture in three:
        assert_filled(picture, mask, tmp_path / "out" / picture.name)


def test_several_pictures_with_a_mask_each(fill, three: list[Path], mask: Path, tmp_path: Path) -> None:
    (tmp_path / "masks").mkdir()
    for name in "ab":
        shutil.copy(mask, tmp_path / "masks" / f"{name}.png")
    result = fill(*three, "--mask", tmp_path / "masks", "-o", tmp_path / "out")
    assert result.status == 1 and counts(result.out) == (2, 3) and "c.png: no mask" in result.err


def test_one_picture_goes_into_a_folder_by_its_name(fill, photo: Path, mask: Path, tmp_path: Path) -> None:
    (tmp_path / "masks").mkdir()
    shutil.copy(mask, tmp_path / "masks" / "photo.png")
    (tmp_path / "there").mkdir()
    for out, given in (
        (tmp_path / "there", mask),
        (f"{tmp_path}/new/", mask),
        (tmp_path / "there", mask.parent / "masks"),
    ):
        assert fill(photo, "--mask", given, "-o", out).status == 0
        assert_filled(photo, mask, Path(out) / "photo.png")


@pytest.mark.parametrize(
    ("more", "message"),
    [
        (["none.png"], "none.png: no such file"),
        (["https://a.org/photo.png"], "https://a.org/photo.png: an address"),
        (["deeper"], "deeper: a folder among several pictures"),
        (["deeper/a.png"], "the result of both"),
        (["-"], "one picture"),
    ],
)
def test_several_of_which_one_is_wrong(
    fill, three: list[Path], photo: Path, mask: Path, tmp_path: Path, more: list[str], message: str, monkeypatch
) -> None:
    monkeypatch.chdir(tmp_path)
    shutil.copy(photo, tmp_path / "deeper" / "a.png")
    assert_one_line(fill("a.png", *more, "--mask", mask, "-o", "out"), message)
    assert_one_line(fill("a.png", "b.png", "--mask", mask, "-o", "out.png"), "out.png: not a folder")
    assert not (tmp_path / "out").exists() and not (tmp_path / "out.png").exists()


def test_what_is_there_already_stays(
    fill, run, three: list[Path], photo: Path, mask: Path, tmp_path: Path, tiny_model_folder: Path
) -> None:
    out = tmp_path / "out"
    out.mkdir()
    (out / "a.png").write_text("mine")
    model = ("--model", tiny_model_folder, "--no-clobber")
    for command in (
        ("fill", photo, "--mask", mask),
        ("fill", photo, "--mask", mask, "--contact-sheet", out / "a.png"),
        ("outpaint", photo, "--left", "3"),
        ("sample",),
    ):
        place = out / ("b.png" if "--contact-sheet" in command else "a.png")
        assert_one_line(run(*command, "-o", place, *model), f"{out}/a.png: is there already")
    result = fill(*three, "--mask", mask, "-o", out, "--no-clobber")
    assert result.status == 0 and counts(result.out) == (2, 3, 1) and result.err.count("a.png") == 1
    assert (out / "a.png").read_text() == "mine"
    assert_filled(three[1], mask, out / "b.png")
    assert fill(photo, "--mask", mask, "-o", out / "a.png").status == 0  # without it, it is replaced
    assert_filled(photo, mask, out / "a.png")
