"""Options are declared once and reach every door; a result says what was done."""

from __future__ import annotations

import io
import logging
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from conftest import Result, start
from PIL import Image

import invertfill
from invertfill.batch.jobs import Job
from invertfill.batch.work import Worker
from invertfill.options import DECLARED, DEFAULTS, FillOptions

OTHER: dict[str, Any] = {
    "model": "patchmatch",
    "seed": 3,
    "samples": 2,
    "invert_mask": True,
    "resize_mask": True,
    "box": ((1, 2, 3, 4),),
    "grow": 2,
    "feather": 3,
    "context": 3.5,
    "faces": "off",
    "blend": "none",
    "quality": "best",
    "engine": "torch",
    "device": "cpu",
    "output_quality": 50,
    "keep_raw": True,
}
REFUSED: dict[str, list[Any]] = {
    "seed": [-1, 2**32],
    "samples": [0],
    "box": ["1,2,3", "1,2,0,4", "1,2,3,four"],
    "grow": [-1],
    "feather": [-1],
    "context": [0.5, float("nan")],
    "faces": ["on"],
    "blend": ["x"],
    "quality": ["good"],
    "output_quality": [0, 101],
}


@pytest.fixture(scope="module")
def inpainter(tiny_model_folder: Path) -> invertfill.Inpainter:
    return invertfill.load(tiny_model_folder)


def test_each_option_has_another_value_here() -> None:
    assert OTHER.keys() == DECLARED.keys() == DEFAULTS.keys()
    assert all(OTHER[name] != DEFAULTS[name] for name in OTHER)


@pytest.mark.parametrize("name", DECLARED)
def test_the_command_line_has_it(run: Callable[..., Result], name: str) -> None:
    shown = run("fill", "--help").out
    assert (f"--{name.replace('_', '-')}" in shown) == ("cli" in DECLARED[name].doors)


@pytest.mark.parametrize("name", DECLARED)
def test_a_request_has_it_unless_it_is_decided_at_loading(name: str) -> None:
    forms = pytest.importorskip("invertfill.serve.forms", reason="needs the app extra")
    field = forms.FillForm.model_fields.get(name)
    if name == "model":  # a request names one of those that the server has loaded
        assert field is not None
        return
    assert (field is not None) == ("http" in DECLARED[name].doors and not DECLARED[name].at_load)
    if field is not None:
        assert field.default == DEFAULTS[name] and field.description == DECLARED[name].help
        form = forms.FillForm(image=b"", **{name: OTHER[name]})
        assert form.options == {name: OTHER[name]}
        for value in REFUSED.get(name, []):
            with pytest.raises(ValueError, match=name):
                forms.FillForm(image=b"", **{name: value})


@pytest.mark.parametrize("name", DECLARED)
def test_a_call_can_change_it_unless_it_is_decided_at_loading(name: str) -> None:
    options = FillOptions()
    if DECLARED[name].at_load:
        with pytest.raises(invertfill.InputError, match=name):
            options.changed(**{name: OTHER[name]})
    else:
        assert options.changed(**{name: OTHER[name]}) == replace(options, **{name: OTHER[name]})


@pytest.mark.parametrize(("name", "value"), [(name, value) for name, values in REFUSED.items() for value in values])
def test_values_are_checked_once_and_everywhere(
    fill: Callable[..., Result], inpainter: invertfill.Inpainter, photo: Path, mask: Path, name: str, value: Any
) -> None:
    with pytest.raises(invertfill.InputError, match=name):
        FillOptions(**{name: value})
    with pytest.raises(invertfill.InputError, match=name):
        inpainter.fill(photo, mask, **{name: value})
    refused = fill(photo, "--mask", mask, "-o", photo.with_name("no.png"), f"--{name.replace('_', '-')}", value)
    assert refused.status == 2 and name in refused.err and not photo.with_name("no.png").exists()


def test_an_unknown_option_is_named_with_those_that_there_are(inpainter: invertfill.Inpainter, photo: Path) -> None:
    with pytest.raises(invertfill.InputError, match=r"colour.*seed"):
        inpainter.fill(photo, colour="red")


@pytest.mark.slow
@pytest.mark.parametrize("name", sorted(DECLARED.keys() - {"model", "engine", "samples"}))
def test_a_batch_is_made_again_where_the_option_decides(
    tiny_model_folder: Path, photo: Path, mask: Path, name: str
) -> None:
    job = Job(str(photo), str(mask), str(photo.with_name("filled.png")))
    options = FillOptions(str(tiny_model_folder))
    before = Worker(options).do(job, None)
    assert before.status == "filled", before.reason
    if name == "quality":
        pytest.importorskip("torch", reason="needs the train extra")
    after = Worker(replace(options, **{name: OTHER[name]})).do(job, before.fingerprint)
    assert after.status == ("filled" if DECLARED[name].decides else "skipped"), after.reason


def test_help_says_all_of_them() -> None:
    assert all(f" {name}: " in (FillOptions.__doc__ or "") for name in DECLARED)
    assert {"load", "Inpainter", "FillOptions", "FillResult", "Client", "InputError"} <= set(dir(invertfill))


def test_a_result_says_what_was_done(inpainter: invertfill.Inpainter, photo: Path, mask: Path) -> None:
    result = inpainter.fill(photo, mask, seed=5)
    assert (result.model, result.why, result.seed, result.notes, result.raw) == ("tiny", "", 5, (), None)
    assert 0 < result.seconds < 60
    shown = Image.open(io.BytesIO(result._repr_png_() or b""))
    np.testing.assert_array_equal(np.asarray(shown), np.asarray(result))


def test_a_result_is_saved_with_the_pictures_metadata(
    inpainter: invertfill.Inpainter, photo: Path, mask: Path, tmp_path: Path
) -> None:
    exif = Image.Exif()
    exif[270] = "a picture"  # ImageDescription
    with Image.open(photo) as image:
        image.save(tmp_path / "with.png", exif=exif, dpi=(150, 150))
    path = inpainter.fill(tmp_path / "with.png", mask).save(tmp_path / "filled.png")
    with Image.open(path) as saved:
        assert saved.getexif()[270] == "a picture" and round(saved.info["dpi"][0]) == 150


def test_none_leaves_the_fill_as_it_was_drawn(inpainter: invertfill.Inpainter) -> None:
    rng = np.random.default_rng(0)
    image, hole = rng.integers(0, 256, (32, 32, 3), np.uint8), np.zeros((32, 32), bool)  # the model's own size
    hole[9:25, 5:20] = True
    fills = {blend: inpainter.fill(image, hole, blend=blend, keep_raw=True) for blend in ("none", "rim", "membrane")}
    raw = fills["none"].raw
    assert raw is not None
    for blend, result in fills.items():
        assert result.raw is not None
        np.testing.assert_array_equal(result.raw, raw)
        np.testing.assert_array_equal(np.asarray(result)[~hole], image[~hole])
        assert np.array_equal(np.asarray(result)[hole], raw[hole]) == (blend == "none")


def test_notes_are_in_the_result_and_in_the_log(
    inpainter: invertfill.Inpainter, photo: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.INFO, "invertfill"):
        result = inpainter.fill(photo, np.zeros((24, 40), bool))
    assert len(result.notes) == 1 and result.model == ""
    assert [(record.levelname, record.getMessage()) for record in caplog.records] == [("INFO", result.notes[0])]


def test_nothing_normal_is_a_warning(tiny_model_folder: Path, photo: Path, mask: Path) -> None:
    """With a note, too: JPEG has no transparency."""
    with Image.open(photo) as image:
        image.putalpha(200)
        image.save(photo)
    code = (
        "import invertfill, sys, warnings; warnings.simplefilter('error'); model, image, mask, out = sys.argv[1:]\n"
        "invertfill.load(model).fill(image, mask).save(out, note=lambda note: print('note'))"
    )
    made = start(tiny_model_folder, photo, mask, photo.with_name("filled.jpg"), code=code)
    assert (made.returncode, made.stdout) == (0, "note\n"), made.stderr


def test_the_former_name_of_patchmatch_is_understood() -> None:
    pytest.importorskip("patchmatch", reason="needs PyPatchMatch, which has wheels for common systems only")
    assert invertfill.load("exemplar").engine.model == invertfill.load("patchmatch").engine.model
