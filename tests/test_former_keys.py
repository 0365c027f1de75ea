"""Configurations and checkpoints from before keys were renamed: they load, and their runs go on."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
import torch
from training_runs import draw_pictures, log_lines

from invertfill.errors import InputError
from invertfill.training import loop
from invertfill.training.checkpoint import read_state
from invertfill.training.config import InversionConfig, load_config, parse_config
from invertfill.training.inversion import model_config

# As an older version had it, word for word.
OLD = """
name: old
out: OUT
steps: 2
minutes: 30
batch: 4
precision: fp32
data: {path: PICTURES, workers: 1, degrade: {probability: 0.5, colour: 0.3}}
model:
  generator: {kind: stylegan2, size: 32, latent_dim: 32, channel_base: 256, channel_max: 16, mapping_layers: 2}
  encoder: {trunk: compact, channels: [8, 12, 16], blocks: [1, 1, 1], pyramid_channels: 8, structure_channels: 8}
  premodulation: {hidden: 8}
  rgb_branch: {channels: [4, 8, 8], bottleneck: 1}
losses: {perceptual: 0, style: 0}
rates: {encoder: 0, premodulation: 0.5}
optimizer: {lr: 0.01}
mean_latent: {tau: 0.2}
log_every: 1
"""


@pytest.fixture
def old(tmp_path: Path) -> Path:
    """The file, with pictures to train on and a folder for the run."""
    draw_pictures(tmp_path / "pictures")
    path = tmp_path / "old.yaml"
    path.write_text(OLD.replace("OUT", str(tmp_path / "run")).replace("PICTURES", str(tmp_path / "pictures")))
    return path


def age(checkpoint: Path) -> dict[str, Any]:
    """Rewrite a checkpoint's configuration as the older version wrote it, every key of it, and return it."""
    state = json.loads((checkpoint / "state.json").read_text())
    config = state["config"]
    config["rates"], config["minutes"] = config.pop("lr_mult"), config.pop("time_budget")
    config["data"]["degrade"] = config["data"].pop("augmentation")
    del config["about"]["mean_latent_samples"]
    (checkpoint / "state.json").write_text(json.dumps(state))
    return dict(config)


def test_an_old_file_with_old_overrides(old: Path) -> None:
    config = load_config(InversionConfig, old, ["minutes=5", "rates.rgb_branch=0.25", "data.degrade.copies=2"])
    assert config.time_budget == 5
    assert (config.lr_mult.encoder, config.lr_mult.premodulation, config.lr_mult.rgb_branch) == (0, 0.5, 0.25)
    augmentation = config.data.augmentation
    assert (augmentation.probability, augmentation.colour, augmentation.copies) == (0.5, 0.3, 2)
    whole = load_config(InversionConfig, old, ["data={path: here, degrade: {blur: 0}}", "rates={encoder: 0.1}"])
    assert (whole.data.augmentation.blur, whole.lr_mult.encoder, whole.lr_mult.premodulation) == (0, 0.1, 1)
    assert load_config(InversionConfig, old, ["time_budget=7"]).time_budget == 7  # a file is older than its command
    with pytest.raises(InputError, match=r"'data\.degrade' .* 'data\.augmentation'"):
        parse_config(InversionConfig, {"data": {"degrade": {}, "augmentation": {}}}, "both")


@pytest.mark.slow
def test_an_old_checkpoint_s_run_goes_on_bit_for_bit(old: Path, tmp_path: Path) -> None:
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        first = loop.train_inversion(old)
        stored = age(first)
        assert parse_config(InversionConfig, stored, "stored") == load_config(InversionConfig, old)
        shutil.copytree(tmp_path / "run", tmp_path / "copy")
        with pytest.raises(InputError, match="lr_mult"):
            loop.train_inversion(old, ["steps=4", "rates.encoder=1"])
        resumed = loop.train_inversion(old, ["steps=4", "minutes=60"])
        straight = loop.train_inversion(old, ["steps=4", f"out={tmp_path / 'whole'}"])
    finally:
        torch.set_num_threads(threads)
    assert read_state(resumed)["step"] == 4 and len(log_lines(tmp_path / "run")) == 4
    for name in ("model", "ema", "mean_latent"):
        assert (resumed / f"{name}.safetensors").read_bytes() == (straight / f"{name}.safetensors").read_bytes(), name
    # Weights of an old run are where a new one begins.
    begun = ["steps=1", f"init={tmp_path / 'copy'}", f"out={tmp_path / 'next'}", "data.degrade.probability=0"]
    assert model_config(loop.train_inversion(old, begun)) == stored["model"]
