"""Beyond the sides: the picture lies in the larger one as it was, whatever the way there."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import invertfill
from invertfill import cli
from invertfill.pipeline.outpainting import Margins, extend, margins_for_aspect, parse_margins


@pytest.fixture(scope="module")
def inpainter(tiny_model_folder: Path) -> invertfill.Inpainter:
    return invertfill.load(tiny_model_folder)


@pytest.mark.parametrize("mode", ["L", "LA", "RGB", "RGBA", "CMYK", "I;16"])
def test_the_picture_stays(inpainter: invertfill.Inpainter, mode: str) -> None:
    rng = np.random.default_rng(0)
    if mode == "I;16":
        picture = Image.fromarray(rng.integers(0, 65536, (30, 44), np.uint16))
    else:
        bands = len(Image.new(mode, (1, 1)).getbands())
        picture = Image.frombytes(mode, (44, 30), rng.integers(0, 256, (30, 44, bands), np.uint8).tobytes())
    larger = inpainter.outpaint(picture, left=7, top=50, right=90, bottom=1).image
    assert larger.mode == mode and larger.size == (44 + 97, 30 + 51)
    pixels = np.asarray(larger)
    assert np.array_equal(pixels[50:80, 7:51], np.asarray(picture))
    added = np.ones(pixels.shape[:2], bool)
    added[50:80, 7:51] = False
    assert pixels[added].std() > 0


@pytest.mark.parametrize("mode", ["LA", "RGBA"])
@pytest.mark.parametrize("alpha", [0, 90, 255])
def test_what_is_added_is_as_see_through_as_the_picture(inpainter: invertfill.Inpainter, mode: str, alpha: int) -> None:
    picture = Image.new(mode, (20, 16))
    picture.putalpha(alpha)
    assert (np.asarray(inpainter.outpaint(picture, left=9, bottom=12))[..., -1] == alpha).all()


def test_nothing_added_is_a_copy(inpainter: invertfill.Inpainter) -> None:
    picture = Image.new("RGB", (9, 5), "red")
    assert inpainter.outpaint(picture, aspect="9:5").image.tobytes() == picture.tobytes()
    with pytest.raises(invertfill.InputError, match="left -1; accepted"):
        inpainter.outpaint(picture, left=-1)
    with pytest.raises(invertfill.InputError, match="nothing to add"):
        inpainter.outpaint(picture)


@pytest.mark.parametrize("margins", [Margins(5, 0, 0, 0), Margins(1000, 3, 1, 40), Margins(0, 0, 1, 7)])
def test_steps_add_up_and_each_sees_as_much_as_it_adds_twice(margins: Margins) -> None:
    width, height = 40, 30
    for step in margins.steps(width, height):
        assert step.any and step.left + step.right <= width / 2 and step.top + step.bottom <= height / 2
        width, height = width + step.left + step.right, height + step.top + step.bottom
    assert (width, height) == (40 + margins.left + margins.right, 30 + margins.top + margins.bottom)


def test_one_pixel_grows(inpainter: invertfill.Inpainter) -> None:
    assert inpainter.outpaint(Image.new("RGB", (1, 1)), right=5, bottom=3).image.size == (6, 4)


def test_extend() -> None:
    canvas, hole = extend(Image.new("L", (3, 2), 9), Margins(1, 0, 0, 2))
    assert canvas.size == (4, 4) and hole.sum() == 16 - 6
    assert (np.asarray(canvas)[~hole] == 9).all() and not hole[:2, 1:].any()


def test_amounts() -> None:
    assert parse_margins((200, 100), "12", "0", "25%", "12.5%") == Margins(12, 0, 50, 12)
    for bad in ("-1", "a", "%", "1.5", "nan%", "1e99%"):
        with pytest.raises(invertfill.InputError, match=r"left .*accepted"):
            parse_margins((200, 100), bad, "0", "0", "0")
    with pytest.raises(invertfill.InputError, match="million"):
        parse_margins((20_000, 20_000), "1", "0", "0", "0")


def test_aspect() -> None:
    assert margins_for_aspect((90, 90), "16:9") == Margins(left=35, right=35)
    assert margins_for_aspect((90, 91), "1:2") == Margins(top=44, bottom=45)
    assert margins_for_aspect((160, 90), "16:9") == Margins()
    for bad in ("16", "0:1", "1:0", "a:b", "-1:2", "inf:1", "nan:1"):
        with pytest.raises(invertfill.InputError, match=r"aspect .*accepted"):
            margins_for_aspect((9, 9), bad)


def outpaint(capsys: pytest.CaptureFixture[str], *arguments: object) -> tuple[int, str]:
    with pytest.raises(SystemExit) as end:
        cli.main(["outpaint", *map(str, arguments)])
    assert isinstance(end.value.code, int)
    return end.value.code, capsys.readouterr().err


def test_command(photo: Path, tiny_model_folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out, model = tmp_path / "out.png", ("--model", tiny_model_folder)
    assert outpaint(capsys, photo, "-o", out, "--left", "50%", "--top", 3, *model) == (0, "")
    with Image.open(photo) as before, Image.open(out) as after:
        assert after.size == (60, 27)
        assert after.crop((20, 3, 60, 27)).tobytes() == before.tobytes()
    status, said = outpaint(capsys, photo, "-o", out, "--aspect", "5:3", *model)
    assert status == 0 and "already" in said
    for wrong, reason in (
        ([], "aspect"),
        (["--left", "x"], "accepted: pixels"),
        (["--aspect", "1:1", "--left", "3"], "aspect"),
        (["--aspect", "wide"], "accepted: a ratio"),
    ):
        status, said = outpaint(capsys, photo, "-o", tmp_path / "none.png", *wrong, *model)
        assert status == 2 and reason in said and said.count("\n") == 1
    assert not (tmp_path / "none.png").exists()


def test_notes_name_the_file(inpainter: invertfill.Inpainter, tmp_path: Path) -> None:
    path = tmp_path / "clear.png"
    Image.new("RGBA", (20, 20)).save(path)  # nothing is known
    notes = inpainter.outpaint(path, right=6).notes
    assert notes and all(note.startswith(f"{path}: ") for note in notes)
