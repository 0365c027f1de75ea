"""`invertfill data prepare`, on made-up trees of files in the shape of the official downloads, with smaller counts."""

from __future__ import annotations

import io
import json
import tarfile
import zipfile
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from conftest import Result, assert_one_line, pixels
from PIL import Image

from invertfill.training.data import prepare
from invertfill.training.data.prepare import DATA_SETS, Part

Run = Callable[..., Result]
OFFICIAL = dict(DATA_SETS)


def content(value: int, size: tuple[int, int] = (40, 30), kind: str = "PNG") -> bytes:
    data = io.BytesIO()
    Image.new("RGB", size, (value, 2 * value, 255 - value)).save(data, kind)
    return data.getvalue()


def plant(folder: Path, names: list[str], **options: object) -> Path:
    """Files of one colour each, by number."""
    for i, name in enumerate(names):
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content(i, **options))  # type: ignore[arg-type]
    return folder


def stems(folder: Path) -> list[str]:
    return sorted(path.stem for path in folder.iterdir())


@pytest.fixture(autouse=True)
def smaller(monkeypatch: pytest.MonkeyPatch) -> None:
    """Hundreds of times fewer pictures; everything else as it is."""

    def shrunk(part: Part, count: int) -> tuple[Part]:
        return (replace(part, count=count),)

    celeba, places, metfaces, scenery = (DATA_SETS[name] for name in ("celeba-hq", "places2", "metfaces", "scenery"))
    assert places.test_part is not None
    train, test = (replace(part, count=count) for part, count in zip(places.parts, (6, 4), strict=True))
    for name, small in {
        "celeba-hq": replace(celeba, parts=shrunk(celeba.parts[0], 12), test=3),
        "places2": replace(places, parts=(train, test), train=5, test_part=shrunk(places.test_part, 3)[0]),
        "metfaces": replace(metfaces, parts=shrunk(metfaces.parts[0], 7), test=2),
        "scenery": replace(scenery, parts=shrunk(scenery.parts[0], 8), test=2),
    }.items():
        monkeypatch.setitem(prepare.DATA_SETS, name, small)


@pytest.fixture
def celeba(tmp_path: Path) -> Path:
    """CelebAMask-HQ as it is unpacked."""
    plant(tmp_path / "CelebAMask-HQ" / "CelebA-HQ-img", [f"{i}.jpg" for i in range(12)], kind="JPEG")
    plant(tmp_path / "CelebAMask-HQ" / "CelebAMask-HQ-mask-anno", ["0/00000_hair.png", "0/00001_skin.png"])
    return tmp_path / "CelebAMask-HQ"


@pytest.fixture
def places(tmp_path: Path) -> Path:
    """Places2 at 256 px: two of its parts unpacked, one not."""
    source = tmp_path / "places"
    names = [f"{scene[0]}/{scene}/0000000{i}.jpg" for scene in ("airfield", "beach") for i in (1, 2, 3)]
    plant(source / "data_256", names, size=(256, 256), kind="JPEG")
    plant(source / "val_256", [f"Places365_val_0000000{i}.jpg" for i in (1, 2, 3)], kind="JPEG")
    with tarfile.open(source / "test_256.tar", "w") as tar:
        for i in range(4):
            member = tarfile.TarInfo(f"test_256/Places365_test_0000000{i}.jpg")
            data = content(i + 100, kind="JPEG")
            member.size = len(data)
            tar.addfile(member, io.BytesIO(data))
    return source


def test_official_counts() -> None:
    """Sec. 4.1: the sizes of the downloads and of the splits."""
    assert {name: sum(part.count for part in data.parts) for name, data in OFFICIAL.items()} == {
        "celeba-hq": 30_000,
        "places2": 1_803_460 + 328_500,
        "metfaces": 1_000 + 336,
        "scenery": 6_040,
    }
    assert OFFICIAL["places2"].train == 200_000 and OFFICIAL["places2"].test_part.count == 5_000
    assert OFFICIAL["places2"].test_part.name(4_999) == "Places365_val_00005000"


def test_faces_are_split_and_brought_to_size(run: Run, celeba: Path, tmp_path: Path) -> None:
    result = run("data", "prepare", "celeba-hq", celeba, "-o", tmp_path / "out")
    assert (result.status, result.err) == (0, "") and "9 train, 3 test" in result.out
    train, test = stems(tmp_path / "out" / "train"), stems(tmp_path / "out" / "test")
    assert sorted(train + test, key=int) == [str(i) for i in range(12)] and len(test) == 3
    picture = pixels(tmp_path / "out" / "test" / f"{test[0]}.png")
    assert picture.shape == (256, 256, 3)
    assert np.abs(picture.astype(int) - (int(test[0]), 2 * int(test[0]), 255 - int(test[0]))).max() <= 2  # JPEG
    facts = json.loads((tmp_path / "out" / "split.json").read_text())
    assert (facts["train"], facts["test"], facts["seed"], facts["size"]) == (9, 3, 0, 256)


def test_the_split_depends_on_names_and_seed_alone(run: Run, celeba: Path, tmp_path: Path) -> None:
    """A zip of the same pictures gives the same split, another seed another."""
    with zipfile.ZipFile(tmp_path / "CelebAMask-HQ.zip", "w") as archive:
        for path in sorted(celeba.rglob("*.*"), reverse=True):
            archive.write(path, path.relative_to(tmp_path))
    for name, source in (("folder", celeba), ("zip", tmp_path / "CelebAMask-HQ.zip"), ("parent", tmp_path)):
        assert run("data", "prepare", "celeba-hq", source, "-o", tmp_path / name).status == 0
    assert run("data", "prepare", "celeba-hq", celeba, "-o", tmp_path / "other", "--seed", 1).status == 0
    splits = {name: stems(tmp_path / name / "test") for name in ("folder", "zip", "parent", "other")}
    assert splits["folder"] == splits["zip"] == splits["parent"] != splits["other"]
    facts = [(tmp_path / name / "split.json").read_text() for name in ("folder", "zip")]
    assert facts[0] == facts[1]


def test_a_list_names_the_test_pictures(run: Run, celeba: Path, tmp_path: Path) -> None:
    (tmp_path / "list").write_text("/some/where/img00000003.png\n/some/where/img00000011.png\n\n")
    command = ("data", "prepare", "celeba-hq", celeba, "-o", tmp_path / "out", "--test-list", tmp_path / "list")
    assert "10 train, 2 test" in run(*command).out
    assert stems(tmp_path / "out" / "test") == ["11", "3"]
    (tmp_path / "list").write_text("3.png\n77.png\n")
    assert_one_line(run(*command[:4], "-o", tmp_path / "no", *command[6:]), "list: 77: ")
    assert not (tmp_path / "no").exists()
    assert_one_line(run(*command[:6], "--test-list", tmp_path / "none"), "none: ")


def test_places_by_its_parts(run: Run, places: Path, tmp_path: Path) -> None:
    assert "5 train, 3 test" in run("data", "prepare", "places2", places, "-o", tmp_path / "out").out
    assert stems(tmp_path / "out" / "test") == [f"Places365_val_0000000{i}" for i in (1, 2, 3)]
    train = {path.name: path.read_bytes() for path in (tmp_path / "out" / "train").iterdir()}
    assert len(train) == 5
    kept = {name: data for name, data in train.items() if name.endswith(".jpg")}
    assert kept  # 256 x 256 already: not encoded again
    for name, data in kept.items():
        assert data == (places / "data_256" / Path(*name.split("-"))).read_bytes()
    (places / "test_256.tar").unlink()
    assert "5 train" in run("data", "prepare", "places2", places, "-o", tmp_path / "without").out
    assert all("test" not in name for name in stems(tmp_path / "without" / "train"))


@pytest.mark.parametrize("name, folder, counts", [("metfaces", "images", (5, 2)), ("scenery", "scenery", (6, 2))])
def test_smaller_sets(run: Run, tmp_path: Path, name: str, folder: str, counts: tuple[int, int]) -> None:
    plant(tmp_path / "source" / folder, [f"{i}-0{i}.png" for i in range(sum(counts))])
    plant(tmp_path / "source" / "unprocessed", ["x.png"])
    out = tmp_path / "out"
    assert run("data", "prepare", name, tmp_path / "source", "-o", out).status == 0
    assert (len(stems(out / "train")), len(stems(out / "test"))) == counts
    assert not set(stems(out / "train")) & set(stems(out / "test"))


def test_goes_on_where_it_was_stopped(run: Run, celeba: Path, tmp_path: Path) -> None:
    command = ("data", "prepare", "celeba-hq", celeba, "-o", tmp_path / "out")
    run(*command)
    kept, gone = sorted((tmp_path / "out" / "train").iterdir())[:2]
    before = kept.stat().st_mtime_ns
    gone.unlink()
    assert run(*command).status == 0
    assert gone.is_file() and kept.stat().st_mtime_ns == before
    # Another split in the same place would mix the two.
    assert_one_line(run(*command, "--seed", 1), "split.json: ")


def test_missing_files_are_named(run: Run, celeba: Path, places: Path, tmp_path: Path) -> None:
    for name in ("4.jpg", "9.jpg"):
        (celeba / "CelebA-HQ-img" / name).unlink()
    lines = run("data", "prepare", "celeba-hq", celeba, "-o", tmp_path / "out").err.splitlines()
    assert [line.split(": ")[2].split()[0] for line in lines] == ["4", "9"]
    (places / "val_256" / "Places365_val_00000002.jpg").unlink()
    assert_one_line(
        run("data", "prepare", "places2", places, "-o", tmp_path / "out"), "val_256: Places365_val_00000002"
    )
    assert not (tmp_path / "out").exists()


def test_damaged_files_are_named_and_the_rest_is_kept(run: Run, celeba: Path, tmp_path: Path) -> None:
    (celeba / "CelebA-HQ-img" / "7.jpg").write_bytes(content(7, kind="JPEG")[:300])
    command = ("data", "prepare", "celeba-hq", celeba, "-o", tmp_path / "out")
    assert_one_line(run(*command), "7.jpg: ")
    assert len(stems(tmp_path / "out" / "train") + stems(tmp_path / "out" / "test")) == 11
    (celeba / "CelebA-HQ-img" / "7.jpg").write_bytes(content(7, kind="JPEG"))
    assert run(*command).status == 0
    assert len(stems(tmp_path / "out" / "train") + stems(tmp_path / "out" / "test")) == 12


def test_what_cannot_be_prepared(run: Run, places: Path, tmp_path: Path) -> None:
    plant(tmp_path / "few", [f"{i}.png" for i in range(3)])
    out = ("-o", tmp_path / "out")
    for arguments, says in (
        (("imagenet", tmp_path / "few"), ["'imagenet'", "celeba-hq, places2, metfaces, scenery"]),
        (("metfaces", tmp_path / "few"), ["3 pictures", "accepted for metfaces: 7"]),
        (("metfaces", tmp_path / "nowhere"), ["nowhere", "a folder, zip or tar"]),
        (("places2", tmp_path / "few"), ["no data_256", "train_256_places365standard.tar"]),
        (("places2", places, "--test-list", tmp_path / "list"), ["--test-list with places2"]),
    ):
        assert_one_line(run("data", "prepare", *arguments, *out), *says)
    assert not (tmp_path / "out").exists()
