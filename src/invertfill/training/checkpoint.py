"""Checkpoints that survive a kill at any moment, without pickle.

    RUN/checkpoints/step-00001000/
        state.json                  step, seconds of training, the whole configuration, its origin, numbers of the
                                    optimisers, sizes of the files below
        NAME.safetensors            one for each module (model, shadow weights, mean latent ...)
        NAME.adam.safetensors       one for each optimiser

A checkpoint is written in a folder beside its place, flushed to the disk, and renamed into it. The state of every
random source (torch, numpy, the order of the data) is a function of the configuration's seed and the step
(training/distributed.py, training/data/batches.py), so those two are all that has to be kept of it.
"""

from __future__ import annotations

import json
import logging
import os
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor, nn
from torch.optim import Optimizer

from invertfill.errors import InputError
from invertfill.training.config import rename_keys

log = logging.getLogger(__name__)

FOLDER = "checkpoints"
STATE = "state.json"
PREFIX, UNFINISHED = "step-", ".unfinished-"


def save_checkpoint(
    run: Path,
    step: int,
    config: dict[str, Any],
    origin: dict[str, Any],
    modules: Mapping[str, nn.Module],
    optimizers: Mapping[str, Optimizer],
    keep: int,
    seconds: float = 0.0,
) -> Path:
    """Write RUN/checkpoints/step-STEP and remove all but the newest `keep`.

    Args:
        run: the run's folder.
        step: steps done.
        config: the whole configuration, plain values.
        origin: what else weights should say about themselves (versions, device, data), plain values.
        modules: by name; their parameters and buffers are kept.
        optimizers: by name; of their state, tensors go to safetensors and the rest to JSON.
        keep: complete checkpoints that stay, at least 1.
        seconds: that training has taken up to here, all starts together.

    Returns:
        The checkpoint's folder.
    """
    parent = run / FOLDER
    parent.mkdir(parents=True, exist_ok=True)
    for leftover in parent.glob(f"{UNFINISHED}*"):
        shutil.rmtree(leftover)
    place, draft = parent / f"{PREFIX}{step:08d}", parent / f"{UNFINISHED}{step:08d}"
    draft.mkdir()
    for name, module in modules.items():
        write_tensors(draft / f"{name}.safetensors", module.state_dict())
    numbers = {}
    for name, optimizer in optimizers.items():
        tensors, numbers[name] = _split(optimizer)
        write_tensors(draft / f"{name}.adam.safetensors", tensors)
    files = {path.name: path.stat().st_size for path in sorted(draft.iterdir())}
    state = {
        "step": step,
        "seconds": seconds,
        "config": config,
        "origin": origin,
        "optimizers": numbers,
        "files": files,
    }
    (draft / STATE).write_text(json.dumps(state, indent=1), encoding="utf-8")
    for path in draft.iterdir():
        _flush(path)
    _flush(draft)
    if place.exists():  # only a damaged one: a run doesn't come back to a step that it could resume from
        shutil.rmtree(place)
    draft.rename(place)
    _flush(parent)
    for old in sorted(parent.glob(f"{PREFIX}*"))[:-keep]:
        shutil.rmtree(old)
    return place


def newest_checkpoint(run: Path) -> Path | None:
    """The newest complete checkpoint of a run; a damaged one is named in the log and passed over."""
    for path in sorted((run / FOLDER).glob(f"{PREFIX}*"), reverse=True):
        try:
            read_state(path)
        except InputError as error:
            log.warning("passed over: %s", error)
        else:
            return path
    return None


def read_state(checkpoint: Path) -> dict[str, Any]:
    """state.json: step, seconds, config (former keys under their present names), origin, optimizers, files.

    Raises:
        InputError: no checkpoint, or one with missing or short files.
    """
    try:
        state: dict[str, Any] = json.loads((checkpoint / STATE).read_text(encoding="utf-8"))
        state["config"] = rename_keys(state["config"])
        short = [name for name, size in state["files"].items() if (checkpoint / name).stat().st_size != size]
    except InputError:
        raise
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise InputError(
            f"{checkpoint}: no complete checkpoint ({error}); a folder with {STATE} is accepted"
        ) from error
    if short:
        raise InputError(f"{checkpoint}: damaged checkpoint: wrong size of {', '.join(short)}")
    return state


def provenance_of(checkpoint: Path) -> dict[str, Any]:
    """What a model's header says about where its weights come from, plain values.

    Raises:
        InputError: see `read_state`.
    """
    state = read_state(checkpoint)
    config = state["config"]
    kept = ("seed", "batch", "masks", "losses", "optimizer", "mean_latent", "ema_half_life")
    about = config.get("about", {})
    found = {key: config[key] for key in kept if key in config}
    if outlines := found.get("masks", {}).get("outlines"):
        found["masks"] = found["masks"] | {"outlines": Path(outlines).name}  # where it lies is nobody's business
    return {"name": config["name"], **about, "step": state["step"], **state["origin"]} | found


def load_checkpoint(checkpoint: Path, modules: Mapping[str, nn.Module], optimizers: Mapping[str, Optimizer]) -> int:
    """Put a checkpoint into modules and optimisers made from its configuration.

    Returns:
        The steps done.

    Raises:
        InputError: damaged, or made from another configuration.
    """
    state = read_state(checkpoint)
    for name, module in modules.items():
        load_module(module, checkpoint / f"{name}.safetensors")
    for name, optimizer in optimizers.items():
        _join(optimizer, read_tensors(checkpoint / f"{name}.adam.safetensors"), state["optimizers"][name])
    return int(state["step"])


def read_tensors(path: Path, *needed: str) -> dict[str, Tensor]:
    """The tensors of a safetensors file, on the CPU.

    Raises:
        InputError: missing or damaged, or without one of the names that are needed.
    """
    accepted = f"accepted: safetensors{' with ' * bool(needed)}{' and '.join(map(repr, needed))}"
    try:
        tensors = load_file(path)
    except (OSError, SafetensorError) as error:
        raise InputError(f"{path}: can't be read ({error}); {accepted}") from error
    if missing := [name for name in needed if name not in tensors]:
        raise InputError(f"{path}: holds no {missing[0]!r}; {accepted}")
    return tensors


def write_tensors(path: Path, tensors: Mapping[str, Tensor], metadata: dict[str, str] | None = None) -> None:
    """Write a safetensors file, and make its folder."""
    path.parent.mkdir(parents=True, exist_ok=True)
    save_file({name: tensor.detach().cpu().contiguous() for name, tensor in tensors.items()}, path, metadata)


def load_module(module: nn.Module, path: Path, part: str = "", optional: tuple[str, ...] = ()) -> None:
    """Fill a module from a safetensors file, every tensor.

    Args:
        module: of the architecture that the file was written from.
        path: the file.
        part: where names in the file begin with this, only those are taken, without it: one part of a larger model.
        optional: tensors whose names begin so stay as they are where the file has none of the name.

    Raises:
        InputError: the file is missing or damaged, or holds another architecture's tensors.
    """
    tensors = read_tensors(path)
    inside = {key.removeprefix(part): tensor for key, tensor in tensors.items() if key.startswith(part)}
    kept = {key: tensor for key, tensor in module.state_dict().items() if key.startswith(optional)}
    try:
        module.load_state_dict(kept | (inside or tensors))
    except RuntimeError as error:
        raise InputError(f"{path}: weights of another architecture: {str(error).splitlines()[-1].strip()}") from error


def _split(optimizer: Optimizer) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """An optimiser's state as tensors "INDEX.KEY" and plain values."""
    state = optimizer.state_dict()
    entries = {f"{index}.{key}": value for index, slot in state["state"].items() for key, value in slot.items()}
    tensors = {key: value for key, value in entries.items() if isinstance(value, Tensor)}
    values = {key: value for key, value in entries.items() if not isinstance(value, Tensor)}
    return tensors, {"values": values, "param_groups": state["param_groups"]}


def _join(optimizer: Optimizer, tensors: dict[str, Tensor], numbers: dict[str, Any]) -> None:
    parameters = [p for group in optimizer.param_groups for p in group["params"]]
    slots: dict[int, dict[str, Any]] = {}
    for key, value in {**tensors, **numbers["values"]}.items():
        index, name = key.split(".", 1)
        parameter = parameters[int(index)]
        if isinstance(value, Tensor) and value.shape == parameter.shape:
            # Of the parameter's memory format, which safetensors doesn't keep; a foreach Adam wants both alike.
            value = torch.empty_like(parameter, dtype=value.dtype).copy_(value)
        slots.setdefault(int(index), {})[name] = value
    optimizer.load_state_dict({"state": slots, "param_groups": numbers["param_groups"]})


def _flush(path: Path) -> None:
    """Have the disk hold a file's or folder's content, not the system's memory."""
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
