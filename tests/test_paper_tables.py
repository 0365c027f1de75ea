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
from paper import CONFIG, CONFIGS, MEAN, MODELS, NETWORKS, SHARED, TABLES, fitting, worse, write_start

from invertfill.baselines import list_baselines
from invertfill.nn.invertfill import InvertFill
from invertfill.training.config import BaselineConfig, InversionConfig, load_config


@pytest.mark.parametrize("number", TABLES)
def test_rows_name_models_and_methods_that_exist(number: int) -> None:
    methods = {found.name for found in list_baselines()}
    for how, _ in TABLES[number].rows.values():
        if not how:  # outside predictions
            continue
        assert {name for _, name, _, _ in string.Formatter().parse(how) if name} <= {*MODELS, *NETWORKS}
        option, value = how.split("=", 1)
        assert option == "--model" or (option == "--method" and value.split(":")[0] in methods)
    given = TABLES[number].overrides
    for overrides in MODELS.values():
        load_config(InversionConfig, CONFIG, [*fitting(given, InversionConfig), *overrides])
    for name in NETWORKS:
        config = load_config(BaselineConfig, CONFIGS / "baselines" / f"{name}.yaml", fitting(given, BaselineConfig))
        assert number not in (1, 3, 4) or config.network.size == TABLES[number].size


def test_a_key_goes_to_the_rows_that_have_it() -> None:
    given = ["network.width=0.5", "data.path=a", "prior=b", "time_budget=3"]
    assert fitting(given, BaselineConfig) == [given[0], given[1], given[3]]
    assert fitting(given, InversionConfig) == given[1:]


@pytest.mark.parametrize(
    "lpips, psnr, verdict",
    [
        (-0.1, 2.0, False),
        (-0.1, -0.5, True),
        (0.1, 2.0, True),
        (0.0, 0.0, True),
        (None, 2.0, False),
        (None, -1.0, True),
    ],
)
def test_a_budget_is_too_small_where_a_mean_fill_does_as_well(
    tmp_path: Path, lpips: float | None, psnr: float, verdict: bool
) -> None:
    """By pictures, whose differences are far larger than those of the methods."""
    metrics = [name for name, there in (("lpips_alex", lpips is not None), ("psnr", True)) if there]
    lines = [",".join(["class", "method", "picture", *metrics])]
    for i in range(8):
        for method, share in ((MEAN, 0), ("gc", 1), ("rfr", -9)):
            values = {"lpips_alex": 0.3 + 0.1 * i + share * (lpips or 0), "psnr": 10 + 2 * i + share * psnr}
            lines.append(",".join(["hard", method, f"{i}.png", *(str(values[name]) for name in metrics)]))
        lines.append(",".join(["all", "gc", f"{i}.png", *("-1" for _ in metrics)]))
    (tmp_path / "values.csv").write_text("\n".join(lines) + "\n", encoding="utf-8")
    assert worse(tmp_path, "hard", "gc") is verdict


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
