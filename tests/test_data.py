"""Pictures from folders and archives, and batches that are a function of seed and step."""

from __future__ import annotations

import io
import logging
import tarfile
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from training_runs import draw_pictures

from invertfill.errors import InputError
from invertfill.training.config import AugmentationConfig, DataConfig, MaskConfig
from invertfill.training.data.augmentation import augment
from invertfill.training.data.batches import Batch, Batches
from invertfill.training.data.readers import ImageSet, decode

SIZE = 16


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return draw_pictures(tmp_path / "pictures", count=10, size=SIZE)


def pack(folder: Path, kind: str) -> Path:
    path = folder.parent / f"pictures.{kind}"
    files = sorted(folder.iterdir())
    if kind == "zip":
        with zipfile.ZipFile(path, "w") as archive:
            for file in files:
                archive.write(file, f"inside/{file.name}")
    else:
        with tarfile.open(path, "w:gz" if kind.endswith("gz") else "w") as tar:
            for file in files:
                tar.add(file, f"inside/{file.name}")
    return path


@pytest.mark.parametrize("kind", ["zip", "tar", "tar.gz"])
@pytest.mark.parametrize("cache", [True, False])
def test_archives_hold_what_the_folder_holds(folder: Path, kind: str, cache: bool) -> None:
    wanted = np.stack([np.asarray(Image.open(path)) for path in sorted(folder.iterdir())])
    every = np.arange(10)
    for path in (folder, pack(folder, kind)):
        images = ImageSet(path, SIZE, cache=cache)
        np.testing.assert_array_equal(images.batch(every), wanted)
        assert (images.pixels is not None) == cache
        images.close()


def test_broken_files_are_named_counted_and_skipped(folder: Path, caplog: pytest.LogCaptureFixture) -> None:
    good = (folder / "04.png").read_bytes()
    (folder / "04.png").write_bytes(good[: len(good) // 2])  # truncated
    (folder / "99.jpg").write_bytes(b"no picture")
    (folder / "notes.txt").write_text("not even a name of a picture")
    with caplog.at_level(logging.WARNING):
        images = ImageSet(folder, SIZE)
    assert len(images) == 9 and set(images.broken) == {"04.png", "99.jpg"}
    assert "2 broken files" in caplog.text and "04.png" in caplog.text and "99.jpg" in caplog.text
    lazy = ImageSet(folder, SIZE, cache=False)
    np.testing.assert_array_equal(lazy.batch(np.array([4]))[0], np.asarray(Image.open(folder / "05.png")))
    assert set(lazy.broken) == {"04.png"}


@pytest.mark.parametrize("case", ["absent", "empty", "text", "all broken", "short zip"])
def test_no_pictures_is_one_line(case: str, tmp_path: Path, folder: Path) -> None:
    path = tmp_path / "it"
    if case in ("empty", "all broken"):
        path.mkdir()
    if case == "all broken":
        (path / "a.png").write_bytes(b"")
    if case == "text":
        path.write_text("hello")
    if case == "short zip":
        data = pack(folder, "zip").read_bytes()
        path.write_bytes(data[: len(data) // 2])
    with pytest.raises(InputError) as caught:
        ImageSet(path, SIZE)
    assert str(path) in str(caught.value) and "\n" not in str(caught.value)


def test_decoding_crops_the_centre_turns_upright_and_makes_rgb() -> None:
    wide = np.zeros((SIZE, 3 * SIZE, 4), np.uint8)
    wide[:, SIZE : 2 * SIZE] = (10, 200, 30, 255)
    buffer = io.BytesIO()
    Image.fromarray(wide).save(buffer, "PNG")
    assert np.abs(decode(buffer.getvalue(), SIZE).astype(int) - (10, 200, 30)).max() == 0
    image = Image.new("L", (SIZE, SIZE))
    image.paste(255, (0, 0, SIZE, SIZE // 2))  # upper half white
    exif = Image.Exif()
    exif[0x0112] = 3  # stored upside down
    buffer = io.BytesIO()
    image.save(buffer, "PNG", exif=exif)
    upright = decode(buffer.getvalue(), SIZE)
    assert upright.shape == (SIZE, SIZE, 3) and upright[0].max() == 0 and upright[-1].min() == 255


def batches(
    folder: Path, *, masks: dict[str, Any] | None = None, rank: int = 0, world: int = 1, **data: Any
) -> Batches:
    config = DataConfig(path=folder, workers=2, **data)
    images = ImageSet(folder, SIZE, cache=config.cache)
    mask_config = None if masks is None else MaskConfig(**masks)
    device = torch.device("cpu")
    return Batches(images, config, mask_config, batch=4, seed=7, device=device, rank=rank, world=world)


def same(a: Batch, b: Batch) -> bool:
    return torch.equal(a.images, b.images) and (a.masks is None or torch.equal(a.masks, b.masks))


KINDS = [{}, {"cache": False}, {"augmentation": {"probability": 0.7}}]


@pytest.mark.parametrize("data", KINDS, ids=["cached", "from disk", "augmented"])
@pytest.mark.parametrize("pool", [0, 8])
def test_a_step_s_batch_doesn_t_depend_on_the_steps_before(folder: Path, data: dict[str, Any], pool: int) -> None:
    masks = {"kind": "box", "pool": pool}
    straight, resumed = batches(folder, masks=masks, **data), batches(folder, masks=masks, **data)
    kept = [straight(step) for step in range(6)]
    assert same(resumed(4), kept[4]) and same(resumed(5), kept[5])
    assert not same(kept[4], kept[5])


@pytest.mark.parametrize("data", KINDS, ids=["cached", "from disk", "augmented"])
def test_processes_share_the_batch_of_one(folder: Path, data: dict[str, Any]) -> None:
    masks = {"kind": "box"}
    one = batches(folder, masks=masks, **data)(3)
    parts = [batches(folder, masks=masks, rank=rank, world=2, **data)(3) for rank in range(2)]
    assert torch.equal(torch.cat([p.images for p in parts]), one.images)
    assert one.masks is not None
    assert torch.equal(torch.cat([p.masks for p in parts if p.masks is not None]), one.masks)


def test_every_epoch_has_every_picture_once_in_a_new_order(folder: Path) -> None:
    source = batches(folder)
    order = np.concatenate([source.indices(step) for step in range(10)])  # 40 of 10 pictures: four epochs
    epochs = order.reshape(4, 10)
    assert all(sorted(epoch) == list(range(10)) for epoch in epochs.tolist())
    assert len({tuple(epoch) for epoch in epochs.tolist()}) == 4


def test_ranges_and_flips(folder: Path) -> None:
    source = batches(folder, masks={"kind": "freeform", "low": 0.3, "high": 0.5})
    pictures = source.images.batch(np.arange(10))
    seen = set()
    for step in range(5):
        batch = source(step)
        assert batch.masks is not None and batch.masks.shape == (4, 1, SIZE, SIZE)
        assert set(batch.masks.unique().tolist()) == {0.0, 1.0}
        assert all(0.3 <= share <= 0.5 for share in batch.masks.mean((1, 2, 3)).tolist())
        assert batch.images.dtype == torch.float32 and float(batch.images.abs().max()) <= 1
        for index, image in zip(source.indices(step), batch.images, strict=True):
            pixels = ((image + 1) * 127.5).round().byte().permute(1, 2, 0).numpy()
            plain, mirrored = (np.array_equal(pixels, p) for p in (pictures[index], pictures[index][:, ::-1]))
            assert plain or mirrored
            seen.add(plain)
    assert seen == {True, False}


def test_augmentation_is_repeatable_slight_and_off_at_0(folder: Path) -> None:
    # At 64 px, so that a shift of 4 % is more than a pixel.
    picture = decode((folder / "00.png").read_bytes(), 64)
    on, off = AugmentationConfig(probability=1), AugmentationConfig(probability=0)
    for seed in range(20):
        first, again = (augment(picture, on, np.random.default_rng(seed)) for _ in range(2))
        np.testing.assert_array_equal(first, again)
        assert first.shape == picture.shape and first.dtype == np.uint8
        assert 0 < np.abs(first.astype(int) - picture).mean() < 60
    np.testing.assert_array_equal(augment(picture, off, np.random.default_rng(0)), picture)


def test_copies_join_the_set_and_keep_their_picture_s_number(folder: Path) -> None:
    augmentation = {"probability": 1, "copies": 2}
    source = batches(folder, augmentation=augmentation, flip=False)
    drawn = np.concatenate([source.indices(step) for step in range(15)])  # 60 of 30: two epochs
    assert sorted(drawn[:30].tolist()) == sorted(drawn[30:].tolist()) == list(range(30))
    originals, seen = source.images.batch(np.arange(10)), {}
    for step in range(15):
        batch = source(step)
        assert batch.indices.tolist() == [number % 10 for number in source.indices(step)]
        for number, image in zip(source.indices(step).tolist(), batch.images, strict=True):
            pixels = ((image + 1) * 127.5).round().byte().permute(1, 2, 0).numpy()
            assert np.array_equal(pixels, originals[number % 10]) == (number < 10)
            assert np.array_equal(seen.setdefault(number, pixels), pixels)  # the same in every epoch
    with pytest.raises(ValueError, match="copies"):
        batches(folder, augmentation=augmentation, cache=False)


def test_augmentation_moves_about_the_centre(folder: Path) -> None:
    still = {"probability": 1, "colour": 0, "blur": 0, "noise": 0, "jpeg": 95, "shift": 0, "zoom": 0}
    picture = np.zeros((33, 33, 3), np.uint8)
    picture[12:21, 12:21] = 255
    turned = augment(picture, AugmentationConfig(**still, turn=45), np.random.default_rng(1))
    grid = np.arange(33) + 0.5
    for axis in (0, 1):
        centre = (turned[..., 0].sum(axis) * grid).sum() / turned[..., 0].sum()
        assert centre == pytest.approx(16.5, abs=0.1)
    assert not np.array_equal(turned, picture)
    np.testing.assert_array_equal(
        augment(picture, AugmentationConfig(**still, turn=0), np.random.default_rng(1)), picture
    )
