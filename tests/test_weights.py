"""Weights of feature networks: where they are looked for, and `invertfill weights get` (losses/weights.py)."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

torch = pytest.importorskip("torch")

from conftest import Result, assert_one_line  # noqa: E402
from safetensors.torch import load_file, save_file  # noqa: E402
from torch import Tensor, nn  # noqa: E402

from invertfill.errors import InputError  # noqa: E402
from invertfill.losses import weights  # noqa: E402
from invertfill.losses.features import vgg16  # noqa: E402
from invertfill.losses.weights import PUBLISHED, digest, find_weights, get_weights, hash_weights  # noqa: E402

FEATURES = {"features.0.weight": torch.arange(6.0).reshape(2, 3), "features.0.bias": torch.ones(2)}
HEADS = {f"lin{i}.weight": torch.full((1, 2, 1, 1), float(i)) for i in range(5)}


class Layers(nn.Module):
    """Named as FID's network is in a TorchScript file, where it lies beside something else."""

    def __init__(self) -> None:
        super().__init__()
        self.layers = nn.ModuleDict({"mixed_10": nn.ModuleDict({"conv": nn.Linear(2, 3, bias=False)})})
        self.output = nn.Linear(1, 1)

    def forward(self, x: Tensor) -> Tensor:
        return x


@pytest.fixture
def published(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with small files of the published forms, which the table is changed to expect."""
    folder = tmp_path / "published"
    folder.mkdir()
    torch.save(FEATURES | {"classifier.0.weight": torch.zeros(4)}, folder / "vgg16-397923af.pth")
    legacy = {name.replace(".weight", ".model.1.weight"): tensor for name, tensor in HEADS.items()}
    torch.save(legacy, folder / "alex.pth", _use_new_zipfile_serialization=False)
    script = torch.jit.script(Layers())
    torch.jit.save(script, folder / "inception-2015-12-05.pt")
    inception = {"mixed_10.conv.weight": script.state_dict()["layers.mixed_10.conv.weight"]}
    for name, tensors in (("vgg16-features", FEATURES), ("lpips-alexnet-linear", HEADS), ("fid-inception", inception)):
        monkeypatch.setitem(PUBLISHED, name, replace(PUBLISHED[name], digest=digest(tensors)))
    monkeypatch.setenv("INVERTFILL_WEIGHTS", str(tmp_path / "weights"))
    return folder


@pytest.fixture
def served(published: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[list[str]]:
    """The published files at addresses of this machine; what is asked for."""
    asked: list[str] = []

    class Handler(SimpleHTTPRequestHandler):
        def log_message(self, *_: object) -> None:
            asked.append(self.path)

    with ThreadingHTTPServer(("127.0.0.1", 0), partial(Handler, directory=str(published))) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        for name, known in PUBLISHED.items():
            address = f"http://127.0.0.1:{server.server_port}/{known.address.rpartition('/')[2]}"
            monkeypatch.setitem(PUBLISHED, name, replace(known, address=address))
        yield asked
        server.shutdown()


def test_missing_and_wrong_weights_are_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("INVERTFILL_WEIGHTS", str(tmp_path))
    with pytest.raises(
        InputError, match=r"vgg16-features\.safetensors.*invertfill weights get vgg16-features"
    ) as error:
        vgg16()
    assert "\n" not in str(error.value)
    (tmp_path / "vgg16-features.safetensors").write_bytes(b"no weights")
    with pytest.raises(InputError, match=r"vgg16-features\.safetensors"):
        vgg16()
    save_file({"features.0.weight": torch.zeros(3)}, tmp_path / "vgg16-features.safetensors")
    with pytest.raises(InputError, match=r"vgg16-features\.safetensors") as error:
        vgg16()
    assert "\n" not in str(error.value)


def test_weights_are_found_in_folder_then_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    given, cached = tmp_path / "given" / "some.safetensors", tmp_path / "cache" / "invertfill" / "some.safetensors"
    for path in (given, cached):
        path.parent.mkdir(parents=True)
        path.touch()
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setenv("INVERTFILL_WEIGHTS", str(given.parent))
    assert find_weights("some") == given
    monkeypatch.delenv("INVERTFILL_WEIGHTS")
    assert find_weights("some") == cached


def test_a_digest_is_of_tensors_not_of_files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("INVERTFILL_WEIGHTS", str(tmp_path))
    save_file(FEATURES, tmp_path / "a.safetensors")
    save_file(dict(reversed(FEATURES.items())), tmp_path / "b.safetensors", {"source": "elsewhere"})
    assert hash_weights(["a"]).split()[1] == hash_weights(["b"]).split()[1] == digest(FEATURES)[:16]
    others = [
        {name: tensor + (name == "features.0.bias") for name, tensor in FEATURES.items()},
        {name: tensor.reshape(-1) for name, tensor in FEATURES.items()},
        {name: tensor.view(torch.int32) for name, tensor in FEATURES.items()},
        {name.replace("0", "1"): tensor for name, tensor in FEATURES.items()},
    ]
    assert len({digest(FEATURES), *map(digest, others)}) == 5


def test_what_a_folder_holds_is_converted_and_what_is_there_stays(published: Path, run: Callable[..., Result]) -> None:
    result = run("weights", "get", "--from", published)
    assert result.status == 0
    paths = [find_weights(name) for name in ("vgg16-features", "lpips-alexnet-linear", "fid-inception")]
    assert sorted(map(Path, result.out.split())) == sorted(paths)
    features, heads, inception = map(load_file, paths)
    assert digest(features) == digest(FEATURES) and digest(heads) == digest(HEADS)
    assert list(inception) == ["mixed_10.conv.weight"]
    before = paths[0].stat().st_mtime_ns
    assert run("weights", "get", "vgg16-features", "--from", published).status == 0
    assert paths[0].stat().st_mtime_ns == before
    paths[0].write_bytes(b"damaged")
    assert run("weights", "get", "vgg16-features", "--from", published).status == 0
    assert digest(load_file(paths[0])) == digest(FEATURES)
    assert sorted(path.name for path in paths[0].parent.iterdir()) == sorted(path.name for path in paths)


def test_what_was_got_can_be_passed_on(published: Path, tmp_path: Path) -> None:
    first = get_weights(source=str(published), out=tmp_path / "a")
    again = get_weights(source=str(tmp_path / "a"), out=tmp_path / "b")
    assert [path.read_bytes() for path in again] == [path.read_bytes() for path in first]


def test_files_come_from_their_addresses(served: list[str], published: Path, run: Callable[..., Result]) -> None:
    assert run("weights", "get", "lpips-alexnet-linear").status == 0
    assert len(served) == 1 and "alex.pth" in served[0]
    assert digest(load_file(find_weights("lpips-alexnet-linear"))) == digest(HEADS)
    result = run("weights", "get")  # two of the five are not served
    assert result.status == 2
    assert sum("invertfill weights get" in line for line in result.err.splitlines()) == 2
    assert find_weights("vgg16-features") and find_weights("fid-inception")
    assert not [path for path in find_weights("fid-inception").parent.iterdir() if path.suffix != ".safetensors"]


def test_other_tensors_are_refused_and_nothing_is_written(published: Path, run: Callable[..., Result]) -> None:
    torch.save(FEATURES | {"features.0.bias": torch.zeros(2)}, published / "vgg16-397923af.pth")
    assert_one_line(run("weights", "get", "vgg16-features", "--from", published), "vgg16-397923af.pth", "digest")
    torch.jit.save(torch.jit.script(nn.Linear(1, 1)), published / "inception-2015-12-05.pt")
    assert_one_line(run("weights", "get", "fid-inception", "--from", published), "inception-2015-12-05.pt", "digest")
    (published / "alex.pth").write_bytes(b"no weights")
    assert_one_line(run("weights", "get", "lpips-alexnet-linear", "--from", published), "alex.pth")
    assert not list(weights.weights_folder().iterdir())


def test_the_right_one_of_two_files_of_a_name_is_taken(published: Path) -> None:
    (published / "a-former-version").mkdir()
    torch.save({"lin0.weight": torch.zeros(1)}, published / "a-former-version" / "alex.pth")
    (path,) = get_weights(["lpips-alexnet-linear"], str(published))
    assert digest(load_file(path)) == digest(HEADS)


class Harmful:
    def __reduce__(self) -> tuple[Callable[[str], None], tuple[str]]:
        return os.mkdir, ("harm",)


def test_code_in_a_file_does_not_run(
    published: Path, run: Callable[..., Result], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    torch.save({"features.0.weight": Harmful()}, published / "vgg16-397923af.pth")
    assert_one_line(run("weights", "get", "vgg16-features", "--from", published), "vgg16-397923af.pth")
    assert not (tmp_path / "harm").exists()


@pytest.mark.parametrize(
    ("arguments", "parts"),
    [
        (["vgg19"], ["vgg19", "vgg16-features", "fid-inception"]),
        (["--from", "nowhere_at_all"], ["nowhere_at_all"]),
        (["--from", "a/../b"], ["a/../b"]),
        (["alexnet-features", "--from", "PUBLISHED"], ["alexnet-features", "alexnet-owt-7be5be79.pth"]),
        (["--from", "EMPTY"], ["alex.pth"]),
    ],
)
def test_bad_input(
    published: Path, tmp_path: Path, run: Callable[..., Result], arguments: list[str], parts: list[str]
) -> None:
    (tmp_path / "empty").mkdir()
    places = {"PUBLISHED": published, "EMPTY": tmp_path / "empty"}
    assert_one_line(run("weights", "get", *(places.get(each, each) for each in arguments)), *parts)


def test_an_installed_package_carries_the_real_heads(tmp_path: Path, run: Callable[..., Result]) -> None:
    pytest.importorskip("torchmetrics")
    result = run("weights", "get", "--from", "torchmetrics", "-o", tmp_path / "new")
    paths = [tmp_path / "new" / f"{name}.safetensors" for name in ("lpips-vgg16-linear", "lpips-alexnet-linear")]
    assert result.status == 0 and [Path(line) for line in result.out.splitlines()] == paths
    assert load_file(paths[1])["lin4.weight"].shape == (1, 256, 1, 1)


@pytest.mark.parametrize("name", sorted(PUBLISHED))
def test_files_that_are_at_hand_are_the_published_ones(shared: Path, name: str) -> None:
    path = shared / "weights" / f"{name}.safetensors"
    if not path.is_file():
        pytest.skip(f"needs {name}.safetensors in ../shared/weights")
    assert digest(load_file(path)) == PUBLISHED[name].digest
