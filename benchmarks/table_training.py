"""Trains and exports the models that the rows of tables.py name."""

from __future__ import annotations

import json
import shlex
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from machine import describe
from table_parts import Model

from invertfill.errors import InputError
from invertfill.export import export_model
from invertfill.imaging.files import make_folder, write_file
from invertfill.nn.invertfill import InvertFill
from invertfill.registry import FILES, find_model, read_header
from invertfill.training.checkpoint import newest_checkpoint, read_state, read_tensors, write_tensors
from invertfill.training.config import InversionConfig, load_config
from invertfill.training.inversion import load_prior

ROOT = Path(__file__).parents[1]
CONFIG = ROOT / "configs" / "tables.yaml"
SAME = {"steps", "time_budget", "seed", "batch", "precision", "channels_last", "data", "masks"}  # of all trainings
NETWORK = "network."
TRAIN = ("-m", "invertfill", "train")
SHARED = ("encoder.trunk.", "encoder.lateral.", "encoder.rgb_heads.")  # what a trunk gives


def run_python(*arguments: object) -> None:
    """A program of its own. Ends this one as it ends, unless that is well."""
    if status := subprocess.run([sys.executable, *map(str, arguments)]).returncode:
        sys.exit(status)  # the command has said why


def config_of(overrides: Sequence[str]) -> InversionConfig:
    """`CONFIG` with overrides; those of `network.` are for other networks alone."""
    return load_config(InversionConfig, CONFIG, for_ours(overrides))


def for_ours(overrides: Sequence[str]) -> list[str]:
    return [text for text in overrides if not text.startswith(NETWORK)]


def for_network(overrides: Sequence[str]) -> list[str]:
    """Of another paper's network: in what all trainings share like ours, and as large as our generator."""
    ours = config_of(overrides)
    same = ours.model_dump(mode="json", include=SAME) | {f"{NETWORK}size": ours.model.generator.size}
    given = [text for text in overrides if text.startswith(NETWORK)]
    return [*(f"{key}={json.dumps(value)}" for key, value in same.items()), *given]


def first_weights(config: InversionConfig, trunk: str | None) -> InvertFill:
    """A row's model before its first step: everything new but the generator and, of `trunk`, what rows share."""
    torch.manual_seed(config.seed)
    model = InvertFill(config.model)
    if config.prior:
        load_prior(model.generator, config.prior)
    if trunk:
        given = read_tensors(find_model(trunk).file(FILES[0]))
        shared = {name: tensor for name, tensor in given.items() if name.startswith(SHARED)}
        state = model.state_dict()
        for name in [name for name in state if name.startswith(SHARED)]:
            if name not in shared or shared[name].shape != state[name].shape:
                raise InputError(f"--trunk {trunk}: its encoder is another; accepted: one like that of {CONFIG.name}")
        model.load_state_dict(state | shared)
    return model


def join(start: InvertFill, config: InversionConfig, body: str, to: Path) -> list[str]:
    """Put a MI-GAN's layers in front of the start's generator: overrides by which a run begins there."""
    prior = export_model(start, to / "prior", {"name": "prior"})
    joining = ROOT / "recipes" / "faces-256" / "join_prior.py"
    run_python(joining, body, prior, "--images", config.data.path, "-o", to / "joined")
    header, _ = read_header(to / "joined" / FILES[0])
    return [f"model={header['__metadata__']['config']}", "prior=null", f"init={to / 'joined'}"]


def train(name: str, model: Model, seed: int, place: Path, given: list[str], trunk: str | None, body: str) -> Path:
    """The folder of a row's model, trained with a seed.

    Raises:
        InputError: it is there, trained otherwise.
    """
    folder, about = place / f"{name}-seed{seed}", place / f"{name}-seed{seed}.json"
    overrides = [*given, *model.overrides, f"seed={seed}"]
    wanted = {"overrides": overrides, "trunk": trunk, "body": body if model.joined else None}
    found: dict[str, Any] = (
        json.loads(about.read_text(encoding="utf-8")) if about.is_file() else wanted | {"minutes": 0}
    )
    if {key: found[key] for key in wanted} != wanted:
        raise InputError(f"{folder}: begun with {shlex.join(found['overrides'])}; accepted: the same, or another --out")
    if folder.is_dir():
        return folder
    make_folder(place)
    began = time.monotonic()
    run = place / f"run-{name}-seed{seed}"
    own = [f"name={name}", f"out={run}"]
    try:
        if model.network:
            config = ROOT / "configs" / "baselines" / f"{model.network}.yaml"
            # One checkpoint, because the largest takes a gigabyte.
            run_python(*TRAIN, "baseline", config, *for_network(overrides), *own, "keep=1")
        else:
            own += start(model, config_of([*overrides, *own]), place / f"start-{name}-seed{seed}", trunk, body)
            run_python(*TRAIN, "inversion", CONFIG, *for_ours(overrides), *own)
        run_python("-m", "invertfill", "export", run, "-o", folder)
        found |= facts(run)
    finally:
        found["minutes"] += (time.monotonic() - began) / 60
        write_file(about, f"{json.dumps(found, indent=1)}\n".encode())
    return folder


def start(model: Model, config: InversionConfig, to: Path, trunk: str | None, body: str) -> list[str]:
    """Write the weights that a run begins from: overrides by which it does."""
    weights = first_weights(config, trunk)
    if model.joined:
        return join(weights, config, body, to)
    write_tensors(to / FILES[0], weights.state_dict())
    return [f"init={to}"]


def facts(run: Path) -> dict[str, Any]:
    """What a table says of a training that has ended."""
    newest = newest_checkpoint(run)
    assert newest is not None
    state = read_state(newest)
    log = [json.loads(line) for line in (run / "log.jsonl").read_text(encoding="utf-8").splitlines()]
    last = [line for line in log if line.get("event") == "start"][-1]
    on_cpu = last["device"] == "cpu"
    return {
        "steps": state["step"],
        "pictures": state["step"] * state["config"]["batch"],
        "parameters": next(iter(last["parameters"].values())),  # critics and moving averages come later
        "seconds": state["seconds"],
        "processor": describe("torch").split(",")[0] if on_cpu else last["device"],
    }
