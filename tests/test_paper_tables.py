"""The paper's tables and the ladder: what they train and evaluate, how it begins, and how it is told."""

from __future__ import annotations

import csv
import itertools
import json
import shutil
import string
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from conftest import environment
from PIL import Image
from safetensors.torch import load_file, save_file
from test_migan import CONFIG as MIGAN
from training_runs import ROOT, draw_pictures

sys.path.insert(0, str(ROOT / "benchmarks"))
import border
import half_prior
from table_parts import Model, Row, Table
from table_text import Text
from table_training import CONFIG, SHARED, first_weights
from tables import TABLES

from invertfill.baselines import list_baselines
from invertfill.errors import InputError
from invertfill.evaluation.summary import mean_of, mean_of_runs
from invertfill.export import export_model
from invertfill.nn.generators.mobilestylegan import MobileStyleGANConfig
from invertfill.nn.invertfill import InvertFill
from invertfill.training import loop
from invertfill.training.checkpoint import read_state
from invertfill.training.config import InversionConfig, load_config

SIZE = 64
TINY = [
    f"model.generator={{kind: mobilestylegan, size: {SIZE}, channels: [16, 16, 16, 16, 8], latent_dim: 32, "
    "mapping_layers: 2}",
    "model.encoder={trunk: compact, channels: [8, 8, 8], blocks: [1, 1, 1], pyramid_channels: 8, "
    "structure_channels: 8}",
    "model.rgb_branch={channels: [4, 4, 8], bottleneck: 1}",
]


@pytest.mark.parametrize("number", TABLES)
def test_rows_name_models_and_methods_that_exist(number: str) -> None:
    methods, table = {found.name for found in list_baselines()}, TABLES[number]
    for row in (row for row in table.rows.values() if row.how):
        assert {name for _, name, _, _ in string.Formatter().parse(row.how) if name} <= set(table.models)
        option, value = row.how.split("=", 1)
        assert option == "--model" or (option == "--method" and value.split(":")[0] in methods)
        assert not row.before or (row.before in table.rows and row.what)
    for model in table.models.values():
        if model.network:
            assert (ROOT / "configs" / "baselines" / f"{model.network}.yaml").is_file()
            continue
        config = load_config(InversionConfig, CONFIG, [*table.overrides, *model.overrides])
        assert config.model.blend == "none" or "model.blend=membrane" in model.overrides


def test_rows_differ_in_what_they_say() -> None:
    models = TABLES["5"].models
    config = {name: load_config(InversionConfig, CONFIG, model.overrides) for name, model in models.items()}
    for name, one in config.items():
        assert bool(one.model.rgb_branch.channels) == name.startswith("f+w+")
        assert bool(one.mean_latent.tau) == ("sml" in name)
        assert one.model.premodulation.enabled == ("pm" in name)
        assert one.mean_latent.samples == (512 if "k512" in name else 8)


def test_the_ladder_begins_with_the_paper_and_ends_near_what_ships() -> None:
    """Each step changes something, and nothing that an earlier one has changed."""
    table, paper = TABLES["ladder"], load_config(InversionConfig, ROOT / "configs" / "paper-256-inversion.yaml")
    ships = load_config(InversionConfig, ROOT / "recipes" / "faces-256" / "joined.yaml")

    def config(name: str) -> InversionConfig:
        return load_config(InversionConfig, CONFIG, table.models[name].overrides)

    first, last = config("paper"), config("blend")
    assert first.losses == paper.losses and first.model.premodulation.space == "w+"
    assert first.mean_latent.tau and not first.lr_mult.generator and first.model.blend == "none"
    for name in ("perceptual", "style", "tv", "msr", "fid", "lpips", "lpips_net", "adversarial"):
        assert getattr(last.losses, name) == getattr(ships.losses, name), name
    assert (last.model.premodulation.space, last.model.blend) == (ships.model.premodulation.space, ships.model.blend)
    assert last.lr_mult.generator == ships.lr_mult.generator and table.models["blend"].joined
    for name, row in table.rows.items():
        if row.before in table.models and name in table.models:
            changed, above = table.models[name], table.models[row.before]
            assert changed.overrides[: len(above.overrides)] == above.overrides
            assert changed.joined != above.joined or config(name) != config(row.before)


def test_rows_begin_with_the_given_trunk_and_the_prior(tmp_path: Path) -> None:
    plain = load_config(InversionConfig, CONFIG, [*TINY, "prior=null"])
    torch.manual_seed(1)  # another seed than new parts begin from
    trained = InvertFill(plain.model)
    trunk = export_model(trained, tmp_path / "trunk", {"name": "trunk"})
    before = {name: tensor.clone() for name, tensor in trained.state_dict().items()}
    save_file({name: tensor.contiguous() for name, tensor in before.items()}, tmp_path / "prior.safetensors")
    overrides = [*TINY, *TABLES["5"].models["w+"].overrides, f"prior={tmp_path / 'prior.safetensors'}"]
    config = load_config(InversionConfig, CONFIG, overrides)
    start = first_weights(config, str(trunk)).state_dict()
    same = {name for name in start if name in before and torch.equal(start[name], before[name])}
    assert {name for name in before if name.startswith((*SHARED, "generator."))} <= same
    assert not any(name.startswith("encoder.map2style.") and name.endswith("weight") for name in same)
    again, other = (first_weights(config.model_copy(update={"seed": seed}), str(trunk)) for seed in (0, 1))
    assert all(torch.equal(tensor, start[name]) for name, tensor in again.state_dict().items())
    assert any(not torch.equal(tensor, start[name]) for name, tensor in other.state_dict().items())
    larger = load_config(InversionConfig, CONFIG, [*overrides, "model.encoder.pyramid_channels=16"])
    with pytest.raises(InputError, match="--trunk"):
        first_weights(larger, str(trunk))


def test_the_clock_ends_a_training_and_goes_on_with_what_is_left(tmp_path: Path, monkeypatch) -> None:
    ticks = itertools.count()
    monkeypatch.setattr(time, "perf_counter", lambda: next(ticks) * 0.1)  # seconds: a clock that no other work slows
    data = draw_pictures(tmp_path / "pictures", 4)
    given = [f"out={tmp_path / 'run'}", f"data.path={data}", "batch=2", "masks.pool=4", "sample_count=2"]
    tiny = ["network.size=32", "network.width=0.1", "log_every=1000", "checkpoint_every=1000", "sample_every=1000"]

    def train(minutes: float) -> dict[str, Any]:
        config = ROOT / "configs" / "baselines" / "gc.yaml"
        return read_state(loop.train_baseline(config, [*given, *tiny, f"time_budget={minutes}"]))

    first = train(0.05)
    assert 5 <= first["step"] <= 15 and first["seconds"] == pytest.approx(3, abs=0.5)  # three readings a step
    assert train(0.05)["step"] == first["step"]
    longer = train(0.1)
    assert longer["step"] == pytest.approx(2 * first["step"], abs=2) and longer["seconds"] == pytest.approx(6, abs=0.5)


@torch.no_grad()
def test_a_prior_of_half_the_size_draws_the_same_pictures() -> None:
    torch.manual_seed(0)
    config = MobileStyleGANConfig(size=32, channels=(16, 16, 16, 8), latent_dim=8, mapping_layers=1)
    whole = config.build().eval()
    half = half_prior.halve(whole, config, 64)
    w = whole.mapping(torch.randn(16, 8))
    found, wanted = half_prior.drawn(half, w), F.avg_pool2d(half_prior.drawn(whole, w), 2)
    assert half.size == 16 and found.shape == wanted.shape
    assert (found - wanted).square().mean() < 0.3 * (wanted - wanted.mean()).square().mean()


# Figures


def test_intervals_over_seeds_and_pictures() -> None:
    rng = np.random.default_rng(0)
    pictures, runs = rng.normal(0, 1, 40), rng.normal(0, 1, 3)
    values = pictures + runs[:, None]
    found = mean_of_runs(values)
    assert found.mean == pytest.approx(values.mean()) and found.count == 40
    # By hand: every combination of three drawn runs is one of 27, and pictures add their own deviation.
    drawn = np.array([runs[list(index)].mean() for index in np.ndindex(3, 3, 3)])
    expected = 2 * 1.96 * np.sqrt(drawn.var() + pictures.var() / 40)
    assert found.high - found.low == pytest.approx(expected, rel=0.15)
    one, plain = mean_of_runs(values[:1]), mean_of(values[0])
    assert (one.mean, one.low, one.high) == pytest.approx((plain.mean, plain.low, plain.high), abs=0.05)
    gap = values.copy()
    gap[1, 5] = np.nan
    assert mean_of_runs(gap).mean == pytest.approx(np.delete(values, 5, 1).mean())
    assert np.isnan(mean_of_runs(values[:, :0]).mean)
    assert np.isnan(mean_of_runs(values[:1, :1]).low)


def test_a_row_is_compared_with_the_one_before_as_each_counts(tmp_path: Path) -> None:
    """Seeds and pictures in pairs, one row pasted, the other blended; FID's N, its mean and range over seeds."""
    rows = {
        "a": Row("--model={a}"),
        "b": Row("--model={a}", "0.1", "a", "membrane", "that"),
        "c": Row("--method=telea"),
        "early": Row("--model={a}", "0.2, 0.3"),
        "mean": Row("--method=mean"),
    }
    table = Table("title", rows, {"a": Model(())}, "hard,all", "x")
    figures = {
        ("none", "a.0"): [0.5, 0.7],
        ("none", "a.1"): [0.6, 0.8],
        ("none", "mean"): [9.5, 9.7],
        ("none", "early.0"): [9.4, 9.7],
        ("none", "early.1"): [9.5, 9.8],
        ("membrane", "b.0"): [0.4, 0.5],
        ("membrane", "b.1"): [0.4, 0.5],
    }
    metrics = ("lpips_alex", "lpips_vgg", "ssim", "psnr", "known_colour", "border_jump")
    sets: list[dict[str, Any]] = []
    with (tmp_path / "values.csv").open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["class", "blend", "method", "picture", *metrics])
        for blend in ("none", "membrane"):
            about = {"class": "hard", "blend": blend, "masks": "m", "mask_set_sha256": "0" * 64}
            named = {
                "a.0": 10.0,
                "a.1": 20.0,
                "b.0": 5.0,
                "b.1": 6.0,
                "c": None,
                "early.0": 1.0,
                "early.1": 1.0,
                "mean": 1.0,
            }
            methods = [{"name": name, "fid": {"value": value}} for name, value in named.items()]
            sets.append(about | {"picture_set_sha256": "1" * 64, "count": 2, "methods": methods})
            for name in named:
                for picture, value in enumerate(figures.get((blend, name), [9, 9])):
                    writer.writerow(["hard", blend, name, picture, value, *[1] * 4, "nan"])
    (tmp_path / "report.json").write_text(json.dumps({"sets": sets}))
    text = str(Text(table, tmp_path, (0, 1), ("none", "membrane")))
    head, _, a, b, c, early, mean = (
        [cell.strip() for cell in line.split("|")[1:-1]] for line in text.splitlines() if "|" in line
    )
    assert head[1] == "FID (N=2), none" and "FID (N=2), membrane" in head
    difference = head.index("LPIPS alex to the row before")
    assert a[1] == "15.0 [10.0, 20.0]" and a[2].startswith("0.650 [") and a[difference] == "-"
    assert b[difference].startswith("-0.200 [") and b[head.index("changes")] == "a: that" and b[-1] == "0.1"
    assert c[1] == "not measured" and c[head.index("border jump")] == "-"
    assert set(early[1 : head.index("changes")]) == {"not trained enough"} and early[-1] == "0.2"  # as good as the mean
    assert mean[1] == "1.0" and mean[2].startswith("9.600")
    low, high = map(float, b[difference][8:-1].split(", "))
    assert -0.3 <= low < -0.2 < high <= -0.1


def test_colour_and_texture_by_distance_by_hand() -> None:
    hole = np.zeros((9, 40), bool)
    hole[:, :20] = True
    truth = np.zeros((9, 40, 3), np.uint8)
    raw = truth.copy()
    raw[:, 20] = 30  # at 1 px from the hole
    raw[:, 21:23] = 12  # at 2 and 3
    raw[:, :20] = 200  # in the hole: not looked at
    found = border.colour(raw, truth, hole)
    assert found[:5].tolist() == [30, 12, 0, 0, 0] and np.isnan(found[5:]).all()
    stripes = np.zeros((64, 64, 3), np.uint8)
    stripes[:, ::2] = 100
    hole = np.zeros((64, 64), bool)
    hole[:, 8:56] = True
    flat = stripes.copy()
    flat[:, 24:40] = 50  # blurred where it is far from what is known
    own, blurred = border.texture(stripes, hole), border.texture(flat, hole)
    assert own[:5] == pytest.approx(own[0], rel=1e-6)
    assert blurred[:4] == pytest.approx(own[:4], rel=0.02) and blurred[4] < 0.2 * own[4]  # from 16 px on
    chosen = np.arange(7) == 4
    mean, low, high = border.share(blurred[None, None], own[None], chosen)
    assert mean == pytest.approx(blurred[4] / own[4]) and low == high == pytest.approx(mean)


# The commands


@pytest.fixture
def paper(tmp_path: Path):
    """The command with tiny networks, a few pictures and one step."""
    pictures, codes = draw_pictures(tmp_path / "pictures", 32, SIZE), tmp_path / "codes.safetensors"
    save_file({"seed": torch.arange(32), "w": torch.randn(32, 32)}, codes)
    given = [*TINY, "prior=null", f"codes={codes}", "code_metric=null", "steps=1", "batch=2", "masks.pool=4"]

    def paper(*arguments: object, behind: tuple[str, ...] = ()) -> subprocess.CompletedProcess[str]:
        script = [ROOT / "benchmarks" / "paper.py", "--images", pictures, "--count", 2, *arguments]
        command = [*script, "--out", tmp_path / "out", "--", *given, f"data.path={pictures}", *behind]
        return subprocess.run(
            [sys.executable, *map(str, command)], capture_output=True, text=True, env=environment(), timeout=900
        )

    return paper


@pytest.mark.slow
def test_a_table_from_training_to_text_with_two_seeds(paper, tmp_path: Path, need_weights) -> None:
    need_weights("alexnet-features", "lpips-alexnet-linear")
    done = paper("5", "--rows", "w+", "--seeds", "0,1")
    assert done.returncode == 0, done.stderr
    assert "| w+ |" in done.stdout and "LPIPS alex, none" in done.stdout and "LPIPS alex, membrane" in done.stdout
    assert done.stdout.rstrip().endswith((tmp_path / "out" / "report-5" / "table.md").read_text().rstrip())
    assert "| w+-seed1 | 1 | 2 |" in done.stdout
    start = [load_file(tmp_path / f"out/portraits/start-w+-seed{seed}/model.safetensors") for seed in (0, 1)]
    assert any(not torch.equal(start[0][name], start[1][name]) for name in start[0])
    # pSp's row of Table 2 is that model: nothing is trained again.
    before = (tmp_path / "out/portraits/w+-seed0/model.safetensors").stat().st_mtime_ns
    done = paper("2", "--rows", "psp,psp-blend,telea", "--seeds", "0")
    assert done.returncode == 0 and "| psp-blend |" in done.stdout, done.stderr
    assert (tmp_path / "out/portraits/w+-seed0/model.safetensors").stat().st_mtime_ns == before
    # Both sides of the border, from the report.
    script = [ROOT / "benchmarks" / "border.py", tmp_path / "out/report-2", tmp_path / "out/pairs-2"]
    command = [sys.executable, *map(str, [*script, "-o", tmp_path / "border", "--show", 1])]
    done = subprocess.run(command, capture_output=True, text=True, env=environment(), timeout=300)
    assert done.returncode == 0 and "| psp |" in done.stdout, done.stderr
    sheet = Image.open(next((tmp_path / "border").glob("border-extreme-*.png")))
    assert sheet.size[0] == 5 * SIZE and (tmp_path / "border" / "border-extreme.svg").is_file()
    # Another configuration isn't taken for the same.
    done = paper("2", "--rows", "psp", "--trunk", "faces-256")
    assert done.returncode == 2 and "begun with" in done.stderr and done.stderr.count("\n") == 1


@pytest.mark.slow
def test_networks_of_other_papers_by_the_clock(paper, tmp_path: Path, need_weights) -> None:
    need_weights("alexnet-features", "lpips-alexnet-linear")
    row = ("1", "--rows", "gc,crfill,profill", "--minutes", "0.002", "--blend", "none")
    tiny = ("network.width=0.1", "steps=1000", "checkpoint_every=1")
    done = paper(*row, behind=tiny)
    assert done.returncode == 0, done.stderr
    cells = {line.split(" | ")[0].strip("| "): line.split(" | ") for line in done.stdout.splitlines() if " | " in line}
    assert len(cells["gc"]) == len(cells["mean"]) == len(cells["profill"])
    assert cells["gc"][1:3] == ["not trained enough"] * 2 and cells["gc"][-1].startswith("0.852 / 11.78 / 0.128; 0.734")
    assert cells["profill"][1:3] == ["not measured", "-"] and "a web service" in cells["profill"][-3]
    assert all(f"\n{name} masks (" in done.stdout for name in ("hard", "extreme", "all"))
    folder = tmp_path / "out/networks"
    about, start = (json.loads((folder / f"{name}-seed0.json").read_text()) for name in ("gc", "crfill"))
    assert 1 <= about["steps"] < 1000 and about["pictures"] == 2 * about["steps"] and about["seconds"] >= 0.12
    assert (
        cells["gc-seed0"][1:3] == [str(about["steps"]), str(about["pictures"])]
        and about["overrides"] == start["overrides"]
    )
    config = read_state(next((folder / "run-gc-seed0/checkpoints").iterdir()))["config"]
    assert config["network"]["size"] == SIZE and config["masks"]["pool"] == 4 and not config["data"]["flip"]


@pytest.mark.slow
def test_the_ladder_s_step_to_another_generator(paper, tmp_path: Path, need_weights) -> None:
    need_weights("vgg16-features", "lpips-vgg16-linear")
    torch.manual_seed(0)
    shape = {**MIGAN, "generator": {"kind": "migan", "size": SIZE, "channels": [16, 16, 16, 16, 8], "latent_dim": 16}}
    body = export_model(InvertFill(shape), tmp_path / "body", {"name": "body"})
    done = paper("ladder", "--rows", "blend", "--body", body)
    assert done.returncode == 0, done.stderr
    assert "| blend |" in done.stdout and "migan: the border matched" in done.stdout
    trained = tmp_path / "out/ladder/blend-seed0/model.safetensors"
    assert "generator.prior.first.0.weight" in load_file(trained)


@pytest.mark.parametrize(
    "arguments, says",
    [
        (["6"], ["'6'", "ladder"]),
        (["1", "--minutes", "0"], ["--minutes 0", "above 0"]),
        (["1", "--minutes", "nan"], ["--minutes nan"]),
        (["1", "--predictions", "profill"], ["--predictions profill", "NAME=FOLDER"]),
        (["1", "--predictions", "profill=nowhere"], ["nowhere"]),
        (["1", "--predictions", f"gc={ROOT}"], ["gc: the table has a row"]),
        (["1", "--migan", "nothing.onnx"], ["nothing.onnx"]),
        (["5", "--rows", "nobody"], ["--rows nobody", "f+w+_sml"]),
        (["5", "--seeds", "0,x"], ["--seeds 0,x"]),
        (["5", "--seeds", "-1"], ["--seeds -1"]),
        (["5", "--count", "99"], ["32 images"]),
        (["5", "--blend", "poisson"], ["--blend poisson"]),
    ],
)
def test_what_cannot_be_asked(paper, tmp_path: Path, arguments: list[str], says: list[str]) -> None:
    done = paper(*arguments)
    assert done.returncode == 2 and done.stderr.count("\n") == 1, done.stderr
    assert all(part in done.stderr for part in says)
    assert not any((tmp_path / "out").rglob("*.safetensors"))  # nothing was trained first


def test_a_report_that_is_none(tmp_path: Path) -> None:
    shutil.copy(__file__, tmp_path / "report.json")
    with pytest.raises(InputError, match="no report"):
        border.main(tmp_path, tmp_path, tmp_path / "out")
