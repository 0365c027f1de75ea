"""The rows of the paper's tables: what they train and how they are evaluated exists."""

from __future__ import annotations

import string
import sys
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file
from training_runs import ROOT

sys.path.insert(0, str(ROOT / "benchmarks"))
from paper import CONFIG, MODELS, SHARED, TABLES, write_start

from invertfill.baselines import list_baselines
from invertfill.nn.invertfill import InvertFill
from invertfill.training.config import InversionConfig, load_config


@pytest.mark.parametrize("number", TABLES)
def test_rows_name_models_and_methods_that_exist(number: int) -> None:
    methods = {found.name for found in list_baselines()}
    for how, _ in TABLES[number].rows.values():
        assert {name for _, name, _, _ in string.Formatter().parse(how) if name} <= set(MODELS)
        option, value = how.split("=", 1)
        assert option == "--model" or (option == "--method" and value.split(":")[0] in methods)
    for overrides in MODELS.values():
        load_config(InversionConfig, CONFIG, [*TABLES[number].overrides, *overrides])


def test_rows_differ_in_what_they_say() -> None:
    config = {name: load_config(InversionConfig, CONFIG, overrides) for name, overrides in MODELS.items()}
    for name, one in config.items():
        assert bool(one.model.rgb_branch.channels) == name.startswith("f+w+")
        assert bool(one.mean_latent.tau) == ("sml" in name)
        assert one.model.premodulation.enabled == ("pm" in name)


def test_rows_begin_with_the_given_trunk_and_the_prior(tmp_path: Path) -> None:
    torch.manual_seed(1)  # another seed than new parts begin from
    size = ["model.generator.size=32", "model.generator.channels=[16, 16, 16, 16]", "model.rgb_branch.channels=[8, 8]"]
    plain = load_config(InversionConfig, CONFIG, [*size, "prior=null"])
    trained = InvertFill(plain.model)
    save_file({k: v.contiguous() for k, v in trained.state_dict().items()}, tmp_path / "model.safetensors")
    overrides = [*size, *MODELS["w+"], f"prior={tmp_path / 'model.safetensors'}"]
    write_start(tmp_path / "model.safetensors", overrides, tmp_path / "start.safetensors")
    start, before = load_file(tmp_path / "start.safetensors"), trained.state_dict()
    same = {name for name in start if name in before and torch.equal(start[name], before[name])}
    assert {name for name in before if name.startswith((*SHARED, "generator."))} <= same
    assert not any(name.startswith("encoder.map2style.") and name.endswith("weight") for name in same)
