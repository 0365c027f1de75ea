"""The Python door: what it shows of itself, lists, types, threads, and the client's pictures."""

from __future__ import annotations

import io
import pydoc
import re
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
from conftest import ROOT, serving
from PIL import Image

import invertfill
from invertfill import Client, FillResult, Inpainter, InputError
from invertfill.imaging.depth import samples_of
from invertfill.imaging.reading import open_image
from invertfill.imaging.sources import Encoded
from invertfill.notes import silent

EXAMPLES = ROOT / "examples"
FACE, ITS_MASK = EXAMPLES / "portrait-astronaut.png", EXAMPLES / "masks" / "portrait-astronaut-box.png"


@pytest.fixture(scope="module")
def tiny(tiny_model_folder: Path) -> Inpainter:
    return invertfill.load(tiny_model_folder)


def test_help_shows_what_one_uses() -> None:
    text = pydoc.plain(pydoc.render_doc(invertfill))
    for name in set(invertfill.__all__) - {"__version__"}:
        assert re.search(rf"\b{name}\b", text)
    for method in ("fill", "fill_samples", "fill_many", "outpaint", "save"):
        assert re.search(rf"\|  {method}\(", text), method
    options = pydoc.plain(pydoc.render_doc(invertfill.FillOptions))
    assert "seed: int = 0" in options and "Annotated" not in options.split("Methods defined here")[0]


@pytest.mark.slow
def test_repr_says_model_engine_device_and_size() -> None:
    inpainter = invertfill.load()
    assert "faces-256 (256 px, not loaded yet)" in repr(inpainter)
    result = inpainter.fill(FACE, ITS_MASK)
    assert "faces-256 (256 px, onnx on cpu)" in repr(inpainter)
    assert (result.engine, result.size) == ("onnx on cpu", (256, 256))
    for part in ("256x256", "faces-256", "onnx on cpu", "seed 0"):
        assert part in repr(result)


def test_repr_of_a_copy(tiny: Inpainter) -> None:
    assert "3x2 RGBA" in repr(tiny.fill(Image.new("RGBA", (3, 2), "red"))) and len(repr(tiny)) < 200


def test_lists_and_iterators(tiny: Inpainter, photo: Path, mask: Path) -> None:
    for listed, one_by_one in (
        (tiny.fill_samples(photo, mask, samples=3), tiny.iter_samples(photo, mask, samples=3)),
        (tiny.fill_many([(photo, mask)] * 3), tiny.iter_many([(photo, mask)] * 3)),
    ):
        assert isinstance(listed, list) and isinstance(one_by_one, Iterator) and len(listed) == 3
        for a, b in zip(listed, one_by_one, strict=True):
            assert isinstance(a, FillResult) and (np.asarray(a) == np.asarray(b)).all()


def test_iterators_take_pictures_as_they_go(tiny: Inpainter, photo: Path, mask: Path) -> None:
    taken = 0

    def pairs() -> Iterator[tuple[Path, Path]]:
        nonlocal taken
        for _ in range(9):
            taken += 1
            yield photo, mask

    next(tiny.iter_many(pairs(), batch=2))
    assert taken == 2


@pytest.mark.parametrize(
    ("margins", "size"),
    [
        ({"left": 4}, (44, 24)),
        ({"left": "4"}, (44, 24)),
        ({"left": "25%", "top": "50%"}, (50, 36)),
        ({"aspect": "5:2"}, (60, 24)),
    ],
)
def test_margins_as_at_the_command_line(tiny: Inpainter, photo: Path, margins: dict, size: tuple[int, int]) -> None:
    result = tiny.outpaint(photo, **margins)
    assert result.size == size and result.seconds > 0


@pytest.mark.parametrize(
    "margins",
    [{}, {"left": -1}, {"left": "a"}, {"left": 1.5}, {"left": True}, {"aspect": "1"}, {"left": 1, "aspect": "1:1"}],
)
def test_bad_margins(tiny: Inpainter, photo: Path, margins: dict) -> None:
    with pytest.raises(InputError, match="accepted: "):
        tiny.outpaint(photo, **margins)


INTEGERS = [np.bool_, np.uint8, np.int8, np.uint16, np.int16, np.int32, np.uint32, np.int64, np.uint64]


@pytest.mark.parametrize("dtype", INTEGERS)
@pytest.mark.parametrize("top", [1, 100, 255, 65535])
@pytest.mark.parametrize("bands", [0, 1, 3])
def test_any_integer_mask(tiny: Inpainter, photo: Path, mask: Path, dtype: type, top: int, bands: int) -> None:
    if (dtype is np.bool_ and top > 1) or (dtype is not np.bool_ and top > np.iinfo(dtype).max):
        pytest.skip("more than the type holds")
    hole = np.asarray(Image.open(mask)) > 127
    array = (hole * top).astype(dtype)
    array = np.repeat(array[..., None], bands, 2) if bands else array
    expected = tiny.fill(photo, hole)
    assert (np.asarray(tiny.fill(photo, array)) == np.asarray(expected)).all()


@pytest.mark.parametrize("bands", [0, 3])
def test_negative_masks(tiny: Inpainter, photo: Path, bands: int) -> None:
    array = np.full((24, 40, bands) if bands else (24, 40), -1)
    with pytest.raises(InputError, match="negative"):
        tiny.fill(photo, array)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("engine", "module"),
    [("onnx", "onnxruntime"), ("openvino", "openvino"), ("torch", "torch"), ("patchmatch", "numpy")],
)
def test_threads_share_an_inpainter(tiny_model_folder: Path, photo: Path, mask: Path, engine: str, module: str) -> None:
    """Also from the first moment on, when nothing is loaded yet."""
    pytest.importorskip(module)
    how = {"model": "patchmatch"} if engine == "patchmatch" else {"model": tiny_model_folder, "engine": engine}
    with ThreadPoolExecutor(4) as pool:
        together = invertfill.load(**how)
        found = list(pool.map(lambda seed: np.asarray(together.fill(photo, mask, seed=seed)), [*range(6)] * 3))
    alone = invertfill.load(**how)
    expected = [np.asarray(alone.fill(photo, mask, seed=seed)) for seed in range(6)] * 3
    for a, b in zip(found, expected, strict=True):
        np.testing.assert_array_equal(a, b)


@pytest.mark.slow
def test_threads_share_auto() -> None:
    names = ["portrait-astronaut", "landscape-sunset", "portrait-hopper", "landscape-aitzgorri"]
    pairs = [(EXAMPLES / f"{name}.png", EXAMPLES / "masks" / f"{name}-box.png") for name in names]
    together = invertfill.load()
    with ThreadPoolExecutor(4) as pool:
        found = list(pool.map(lambda pair: together.fill(*pair), pairs * 2))
    expected = invertfill.load().fill_many(pairs * 2, batch=1)
    for a, b in zip(found, expected, strict=True):
        assert (a.model, a.why, a.notes) == (b.model, b.why, b.notes)
        np.testing.assert_array_equal(np.asarray(a), np.asarray(b))


@pytest.mark.slow
def test_client_takes_what_fill_takes(tiny_model_folder: Path, tiny: Inpainter, photo: Path, mask: Path) -> None:
    pytest.importorskip("fastapi", reason="needs the app extra")
    picture, hole = Image.open(photo), np.asarray(Image.open(mask)) > 127
    expected = np.asarray(tiny.fill(photo, mask))
    with serving("--model", tiny_model_folder) as (_, address):
        client = Client(address)
        images = [str(photo), photo, photo.read_bytes(), io.BytesIO(photo.read_bytes()), picture, np.asarray(picture)]
        masks = [str(mask), mask, mask.read_bytes(), mask.open("rb"), Image.open(mask), hole, hole.astype(np.int64)]
        for image, its_mask in [*((image, mask) for image in images), *((photo, one) for one in masks)]:
            (data,) = client.fill(image, its_mask)
            np.testing.assert_array_equal(np.asarray(Image.open(io.BytesIO(data))), expected)
        floats = np.asarray(picture, np.float32) / 255  # which no PNG holds
        (data,) = client.fill(floats, hole)
        filled = np.asarray(tiny.fill(floats, hole))
        np.testing.assert_array_equal(samples_of(open_image(Encoded("filled.tif", data), note=silent)), filled)
        (data,) = client.outpaint(picture, left="25%")
        assert Image.open(io.BytesIO(data)).size == (50, 24)
        for wrong in (
            {"image": photo.parent / "none.png"},
            {"image": 3},
            {"image": photo, "mask": np.full((24, 40), -1)},
        ):
            with pytest.raises(InputError):
                client.fill(**wrong)


USER = """
from pathlib import Path

import numpy as np
from PIL import Image

import invertfill
from invertfill import Client, FillOptions, FillResult, Inpainter, InputError, load

inpainter: Inpainter = load("auto", seed=7)
picture: Image.Image = Image.open("photo.png")
hole = np.zeros((picture.height, picture.width), bool)
result: FillResult = inpainter.fill(picture, hole, blend="none")
saved: Path = result.save("filled.png")
width, height = result.size
names: list[str] = [result.model, result.why, result.engine, *result.notes]
samples: list[FillResult] = inpainter.fill_samples("photo.png", Path("mask.png"), samples=4)
many: list[FillResult] = inpainter.fill_many([("a.png", None), (b"", hole)])
for one in inpainter.iter_many((name, "mask.png") for name in names):
    one.image.show()
wide: FillResult = inpainter.outpaint("photo.png", left="25%", right=3)
wider: FillResult = inpainter.outpaint("photo.png", aspect="16:9")
try:
    files: list[bytes] = Client("http://127.0.0.1:8000", token=None).fill(picture, hole, seed=3)
except (InputError, ConnectionError) as error:
    print(error)
options = FillOptions(seed=3)
print(options.seeds, invertfill.__version__)
"""


@pytest.mark.slow
def test_a_users_script_passes_mypy_strict(tmp_path: Path) -> None:
    pytest.importorskip("mypy")

    def check(script: str) -> tuple[int, str]:
        (tmp_path / "user.py").write_text(script)
        command = [sys.executable, "-m", "mypy", "--strict", "--follow-imports=silent", "user.py"]
        env = {"MYPYPATH": str(ROOT / "src"), "PATH": "/usr/bin:/bin", "MYPY_CACHE_DIR": str(tmp_path / "cache")}
        done = subprocess.run(command, cwd=tmp_path, env=env, capture_output=True, text=True, timeout=500)
        return done.returncode, done.stdout

    assert check(USER)[0] == 0, check(USER)[1]
    for wrong in ("result.sizes", "number: int = inpainter.fill('a')", "inpainter.outpaint('a', left=[3])"):
        assert check(f"{USER}\n{wrong}\n")[0] == 1  # types are looked at, and not all Any
    assert (ROOT / "src" / "invertfill" / "py.typed").is_file()
