"""Model folders as the registry sees them."""

from __future__ import annotations

import hashlib
import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import invertfill
from invertfill import registry
from invertfill.errors import InputError
from invertfill.registry import FILES, SUMS, find_model, find_models, list_models


@pytest.fixture
def copy(tiny_model_folder: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(tiny_model_folder, tmp_path / "copy"))


def rewrite_header(folder: Path, change: Callable[[dict[str, Any]], object]) -> None:
    path = folder / "model.safetensors"
    content = path.read_bytes()
    length = int.from_bytes(content[:8], "little")
    header = json.loads(content[8 : 8 + length])
    change(header)
    new = json.dumps(header).encode()
    path.write_bytes(len(new).to_bytes(8, "little") + new + content[8 + length :])


def test_folder(tiny_model_folder: Path) -> None:
    model = find_model(tiny_model_folder)
    weights = tiny_model_folder / "model.safetensors"
    assert (model.name, model.size, model.bytes) == ("tiny", 32, weights.stat().st_size)
    assert (model.domain, model.licence, model.source) == ("noise", "CC0", "chance")
    assert model.config["generator"]["latent_dim"] == 24
    assert model.sha256 == hashlib.sha256(weights.read_bytes()).hexdigest()
    assert find_model(str(tiny_model_folder)) == model


def test_tensors_are_those_of_the_file(tiny_model_folder: Path) -> None:
    load_file = pytest.importorskip("safetensors.numpy").load_file
    model, expected = find_model(tiny_model_folder), load_file(tiny_model_folder / "model.safetensors")
    assert model.tensors.keys() == expected.keys()
    for name, array in expected.items():
        assert model.tensor(name).dtype == array.dtype
        np.testing.assert_array_equal(model.tensor(name), array)
    with pytest.raises(InputError, match="'nothing'"):
        model.tensor("nothing")


def test_unknown_name_lists_the_known() -> None:
    with pytest.raises(InputError, match=r"^faces-999: .*accepted: ") as error:
        find_models("faces-999")
    assert all(name in str(error.value) for name in ("patchmatch", *(model.name for model in list_models())))
    with pytest.raises(InputError, match="accepted: "):
        find_model("auto")  # which is several


@pytest.mark.parametrize("name", [*FILES, SUMS])
def test_missing_file_is_named(copy: Path, name: str) -> None:
    (copy / name).unlink()
    with pytest.raises(InputError, match=f"copy: .*{name}"):
        find_model(copy)


@pytest.mark.parametrize(
    "damage",
    [
        *(lambda content, keep=keep: content[:keep] for keep in (0, 4, 8, 100, -1)),
        lambda content: content + b"\0",
        lambda content: b"\xff" * 8 + content[8:],
        lambda content: content[:8] + b"[" + content[9:],
        lambda content: b"\x80\x02}q\x00." * 100,
        lambda content: (2).to_bytes(8, "little") + b"[]",
    ],
    ids=[
        "none",
        "4 bytes",
        "8 bytes",
        "100 bytes",
        "all but one",
        "longer",
        "header length",
        "header",
        "a pickle",
        "no mapping",
    ],
)
def test_damaged_weights(copy: Path, damage: Callable[[bytes], bytes]) -> None:
    path = copy / "model.safetensors"
    path.write_bytes(damage(path.read_bytes()))
    with pytest.raises(InputError, match=r"model\.safetensors: .*accepted") as error:
        find_model(copy)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    "change",
    [
        lambda header: header.pop("__metadata__"),
        lambda header: header["__metadata__"].pop("config"),
        lambda header: header["__metadata__"].update(config="{"),
        lambda header: header["__metadata__"].update(config="{}"),
        lambda header: header["__metadata__"].update(config='{"generator": {"size": -1}}'),
        lambda header: header["w_mean"].update(dtype="Q7"),
        lambda header: header["w_mean"].pop("data_offsets"),
    ],
    ids=["metadata", "no config", "config is no JSON", "empty config", "size", "dtype", "offsets"],
)
def test_weights_that_are_no_models(copy: Path, change: Callable[[dict[str, Any]], object]) -> None:
    rewrite_header(copy, lambda header: None)
    find_model(copy)  # rewriting alone does no damage
    rewrite_header(copy, change)
    with pytest.raises(InputError, match=r"model\.safetensors: "):
        find_model(copy)


def test_provenance_may_be_absent(copy: Path) -> None:
    rewrite_header(copy, lambda header: header["__metadata__"].pop("provenance"))
    model = find_model(copy)
    assert model.licence == model.domain == model.source == "unknown"


def test_models_are_listed_by_name(tiny_model_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("z", "a"):
        shutil.copytree(tiny_model_folder, tmp_path / name)
    monkeypatch.setattr(registry, "WEIGHTS", tmp_path)
    assert [model.name for model in list_models() if model.folder] == ["a", "z"]
    assert find_model("z").folder == tmp_path / "z"


@pytest.mark.parametrize("name", FILES)
def test_a_flipped_bit_is_noticed(copy: Path, name: str) -> None:
    find_model(copy).verify()
    content = bytearray((copy / name).read_bytes())
    content[-1] ^= 1
    (copy / name).write_bytes(content)
    with pytest.raises(InputError, match=f"{name}: "):
        invertfill.load(copy)


def test_sums_are_in_the_format_of_sha256sum(tiny_model_folder: Path) -> None:
    sums = dict(line.split("  ")[::-1] for line in (tiny_model_folder / SUMS).read_text().splitlines())
    assert sums == {name: hashlib.sha256((tiny_model_folder / name).read_bytes()).hexdigest() for name in FILES}


def test_shipped_weights_are_whole_small_and_say_where_they_come_from() -> None:
    shipped = [model for model in list_models() if model.folder]
    assert shipped[0].name == "faces-256"
    for model in shipped:
        model.verify()
        assert model.bytes <= 32e6 and "unknown" not in (model.domain, model.licence, model.source)
