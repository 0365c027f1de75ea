"""Weights of the feature networks, which are no part of the package: where they lie, and how they are got.

They lie as NAME.safetensors in ``$INVERTFILL_WEIGHTS``, or else in the cache folder. ``invertfill weights get`` puts
them there, and nothing else opens a published file. Pickles are read with ``weights_only=True``. FID's network is
published as TorchScript: torch.jit.load runs no Python of it. What comes out must have the digest below.
"""

from __future__ import annotations

import hashlib
import importlib.util
import os
import tempfile
import urllib.request
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from pickle import UnpicklingError

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save
from torch import Tensor, nn

from invertfill.errors import InputError, InputErrors
from invertfill.imaging.files import make_folder, write_file
from invertfill.notes import Begin

WEIGHTS_VARIABLE = "INVERTFILL_WEIGHTS"
CHUNK = 1_000_000  # bytes
TIMEOUT = 60  # seconds without an answer
DAMAGED = (OSError, RuntimeError, ValueError, LookupError, EOFError, AttributeError, UnpicklingError, SafetensorError)

Tensors = dict[str, Tensor]


def _convolutions(found: Tensors) -> Tensors:
    """Without the classifier behind them."""
    return {name: tensor for name, tensor in found.items() if name.startswith("features.")}


def _heads(found: Tensors) -> Tensors:
    """The published names have a dropout's place in them."""
    return {name.replace(".model.1.", "."): tensor for name, tensor in found.items()}


def _layers(found: Tensors) -> Tensors:
    """What lies beside the layer of the pooled features, without the name of what all of these lie in."""
    last = "mixed_10.conv.weight"
    (within,) = (name.removesuffix(last) for name in found if name.endswith(last))
    inside = {name.removeprefix(within): tensor for name, tensor in found.items() if name.startswith(within)}
    return {name: tensor.float() for name, tensor in inside.items()}


@dataclass(frozen=True)
class Published:
    """Weights as their authors publish them.

    Attributes:
        address: of the file.
        digest: of the tensors as this project reads them; see `digest`.
        layout: the file's tensors -> those that this project reads; the latter stay as they are.
        also: other names under which the file is passed on.
    """

    address: str
    digest: str
    layout: Callable[[Tensors], Tensors]
    also: tuple[str, ...] = ()


_LPIPS = "https://raw.githubusercontent.com/richzhang/PerceptualSimilarity/master/lpips/weights/v0.1"
PUBLISHED = {
    "vgg16-features": Published(
        "https://download.pytorch.org/models/vgg16-397923af.pth",
        "60753ace1dbfe63df6aab8896d7d0e6956500eb166fad7e7cf42780db7d3f24b",
        _convolutions,
    ),
    "alexnet-features": Published(
        "https://download.pytorch.org/models/alexnet-owt-7be5be79.pth",
        "16f46804afb094780e6ebfebf8040901859afc55c2be7ba14897626fd274b892",
        _convolutions,
    ),
    "lpips-vgg16-linear": Published(
        f"{_LPIPS}/vgg.pth", "e2a0bfbade8a39225b420125ff1e3d00ce4225c05863c443547e4b8f568828d4", _heads
    ),
    "lpips-alexnet-linear": Published(
        f"{_LPIPS}/alex.pth", "a2b5aedbf0b92e0d70beeada71d121af87b3a9918cfdbe1ac2d4443150bea39f", _heads
    ),
    # Google's network of 2015 (Apache License 2.0), as StyleGAN2's authors translated it.
    "fid-inception": Published(
        "https://nvlabs-fi-cdn.nvidia.com/stylegan2-ada-pytorch/pretrained/metrics/inception-2015-12-05.pt",
        "8a2de07e63f58be62784e90a879421ebec5258cc3c798612366ee49e219d887f",
        _layers,
        also=("default_1.pt",),
    ),
}


def weights_folder() -> Path:
    """``$INVERTFILL_WEIGHTS``, or else the cache folder: ``$XDG_CACHE_HOME/invertfill``."""
    if given := os.environ.get(WEIGHTS_VARIABLE):
        return Path(given)
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "invertfill"


def find_weights(name: str) -> Path:
    """The path of ``NAME.safetensors`` in `weights_folder`.

    Raises:
        InputError: the file isn't there; the message says how to get it.
    """
    path = weights_folder() / f"{name}.safetensors"
    if path.is_file():
        return path
    raise InputError(
        f"{path}: no such file; get it by `invertfill weights get {name}`, or set {WEIGHTS_VARIABLE} to a folder that "
        f"holds {path.name}"
    )


def hash_weights(names: Sequence[str]) -> str:
    """Names of weights and the first 16 digits of their `digest`, for a report.

    Raises:
        InputError: as `find_weights`; or a file is damaged.
    """
    return ", ".join(f"{name} {digest(_open(find_weights(name)))[:16]}" for name in names)


def load_weights(module: nn.Module, name: str) -> None:
    """Fill ``module`` with the tensors of weights file ``name``; every key and shape must match.

    Raises:
        InputError: the file is missing, damaged, or holds something else.
    """
    path = find_weights(name)
    try:
        tensors = load_file(path)
        known = {key: value for key, value in tensors.items() if not key.startswith("classifier.")}
        module.load_state_dict(known)
    except (SafetensorError, RuntimeError, OSError) as error:
        raise InputError(f"{path}: not the weights of {name}, as safetensors: {str(error).splitlines()[0]}") from error


def digest(tensors: Tensors) -> str:
    """SHA-256, hex, over names, types, shapes and bytes in the order of names: however a file stores them."""
    found = hashlib.sha256()
    for name, tensor in sorted(tensors.items()):
        found.update(f"{name} {str(tensor.dtype).removeprefix('torch.')} {tuple(tensor.shape)}\n".encode())
        found.update(tensor.contiguous().numpy().tobytes())
    return found.hexdigest()


def get_weights(
    names: Sequence[str] = (),
    source: str | None = None,
    out: Path | None = None,
    begin: Begin = lambda what, count: lambda: None,
) -> list[Path]:
    """Get weights and write each as ``NAME.safetensors``, if it isn't there yet.

    Args:
        names: keys of `PUBLISHED`; empty for all, or for those that ``source`` holds.
        source: a folder, or an installed package, that holds published files; None for the official addresses.
        out: the folder to write to; None for `weights_folder`.
        begin: shows how far a download is.

    Returns:
        The files.

    Raises:
        InputError: an unknown name or source; a file that is missing, damaged, or not the published one; an address
            that doesn't answer. What else could be got is written.
    """
    if unknown := [name for name in names if name not in PUBLISHED]:
        raise InputError(f"{unknown[0]}: unknown weights; accepted: {', '.join(PUBLISHED)}")
    place = _place(source) if source else None
    out = out or weights_folder()
    make_folder(out)
    paths, errors = [], []
    for name in names or PUBLISHED:
        path = out / f"{name}.safetensors"
        try:
            if not _is_published(path, name):
                tensors = _from_folder(name, place) if place else _from_address(name, out, begin)
                if tensors is None and not names:
                    continue
                if tensors is None:
                    raise InputError(f"{source}: no {name} there; accepted: {' or '.join(_file_names(name))}")
                write_file(path, save(tensors))
            paths.append(path)
        except InputError as error:
            errors.append(str(error))
    if errors:
        raise InputErrors(errors)
    if not paths:
        known = ", ".join(file for name in PUBLISHED for file in _file_names(name))
        raise InputError(f"{source}: no weights there; accepted: a folder or package with one of {known}")
    return paths


def _file_names(name: str) -> tuple[str, ...]:
    known = PUBLISHED[name]
    return f"{name}.safetensors", known.address.rpartition("/")[2], *known.also


def _place(source: str) -> Path:
    """The folder that is meant."""
    if Path(source).is_dir():
        return Path(source)
    found = importlib.util.find_spec(source) if source.isidentifier() else None  # imports nothing
    if found is None or not found.submodule_search_locations:
        raise InputError(f"{source}: no such folder or installed package")
    return Path(found.submodule_search_locations[0])


def _is_published(path: Path, name: str) -> bool:
    try:
        return path.is_file() and digest(_open(path)) == PUBLISHED[name].digest
    except InputError:
        return False


def _from_folder(name: str, folder: Path) -> Tensors | None:
    """From the first file, by name, that holds what is published; None where none has the name of such a file."""
    errors = []
    for path in (path for file in _file_names(name) for path in sorted(folder.rglob(file))):
        try:
            return _read(path, name)
        except InputError as error:
            errors.append(error)
    if errors:
        raise errors[0]
    return None


def _from_address(name: str, out: Path, begin: Begin) -> Tensors:
    address = PUBLISHED[name].address
    with tempfile.TemporaryDirectory(prefix=".invertfill-", dir=out) as folder:
        path = Path(folder) / address.rpartition("/")[2]
        try:
            with urllib.request.urlopen(address, timeout=TIMEOUT) as answer, path.open("wb") as file:
                advance = begin(f"{name}, MB", int(answer.headers.get("Content-Length") or 0) // CHUNK)
                while chunk := answer.read(CHUNK):
                    file.write(chunk)
                    advance()
        except (OSError, ValueError) as error:
            raise InputError(
                f"{address}: can't be got ({error}); get the file elsewhere, then `invertfill weights get {name}` from "
                "its folder"
            ) from None
        return _read(path, name)


def _read(path: Path, name: str) -> Tensors:
    """The tensors of a published file, as this project reads them."""
    known = PUBLISHED[name]
    tensors = _open(path)
    try:
        tensors = {key: tensor.contiguous() for key, tensor in known.layout(tensors).items()}
    except ValueError:
        tensors = {}
    if digest(tensors) != known.digest:
        raise InputError(f"{path}: not the published {name}: its tensors have another digest")
    return tensors


def _open(path: Path) -> Tensors:
    """The tensors of a file, in the CPU's memory; no code of it runs."""
    try:
        if path.suffix == ".safetensors":
            return load_file(path)
        if path.suffix == ".pt":  # TorchScript, whose program isn't called
            return dict(torch.jit.load(path, map_location="cpu").state_dict())
        found = torch.load(path, map_location="cpu", weights_only=True)
        return {str(name): tensor for name, tensor in found.items() if isinstance(tensor, Tensor)}
    except DAMAGED as error:
        raise InputError(f"{path}: can't be opened ({str(error).partition(chr(10))[0]})") from None
