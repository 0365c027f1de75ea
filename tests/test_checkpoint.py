"""Checkpoints: complete or not there, and a run that was killed ends as if it hadn't been."""

from __future__ import annotations

import itertools
import json
import logging
import signal
import subprocess
import time
from pathlib import Path
from typing import Any

import pytest
import torch
from conftest import environment
from safetensors.torch import load_file
from torch import nn
from training_runs import config_of, draw_pictures, log_lines, train_command

from invertfill.errors import InputError
from invertfill.training import loop
from invertfill.training.checkpoint import load_checkpoint, load_module, newest_checkpoint, read_state, save_checkpoint
from invertfill.training.inversion import InversionTask

pytestmark = pytest.mark.slow


class Parts:
    """A module and its Adam, some steps on."""

    def __init__(self, seed: int = 0, steps: int = 3) -> None:
        torch.manual_seed(seed)
        self.module = nn.Sequential(nn.Conv2d(2, 4, 3), nn.BatchNorm2d(4)).to(memory_format=torch.channels_last)
        self.optimizer = torch.optim.Adam(self.module.parameters(), lr=0.01)
        for _ in range(steps):
            self.train()

    def train(self) -> None:
        self.optimizer.zero_grad()
        self.module(torch.randn(2, 2, 6, 6)).square().sum().backward()
        self.optimizer.step()

    def save(self, run: Path, step: int, keep: int = 3) -> Path:
        return save_checkpoint(
            run, step, {"a": [1, "b"]}, {"device": "cpu"}, {"net": self.module}, {"net": self.optimizer}, keep
        )

    def load(self, path: Path) -> int:
        return load_checkpoint(path, {"net": self.module}, {"net": self.optimizer})


def test_what_is_loaded_trains_on_exactly_as_what_was_saved(tmp_path: Path) -> None:
    one, other = Parts(seed=0), Parts(seed=1, steps=0)
    assert other.load(one.save(tmp_path, 3)) == 3
    for parts in (one, other):
        torch.manual_seed(5)
        parts.train()
    for name, value in one.module.state_dict().items():
        assert torch.equal(value, other.module.state_dict()[name]), name


def test_no_pickle_and_the_whole_configuration(tmp_path: Path) -> None:
    path = Parts().save(tmp_path, 3)
    assert {p.name for p in path.iterdir()} == {"state.json", "net.safetensors", "net.adam.safetensors"}
    assert read_state(path)["config"] == {"a": [1, "b"]}


def test_last_k_are_kept(tmp_path: Path) -> None:
    parts = Parts()
    for step in (5, 10, 15, 100):
        parts.save(tmp_path, step, keep=2)
    assert [p.name for p in sorted((tmp_path / "checkpoints").iterdir())] == ["step-00000015", "step-00000100"]


def test_unfinished_and_damaged_checkpoints_are_passed_over(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    parts = Parts()
    good, short, empty = (parts.save(tmp_path, step) for step in (1, 2, 3))
    draft = tmp_path / "checkpoints" / ".unfinished-00000004"  # as a kill while writing leaves it
    draft.mkdir()
    (draft / "net.safetensors").write_bytes(b"half")
    file = short / "net.safetensors"
    file.write_bytes(file.read_bytes()[:-1])
    (empty / "state.json").unlink()
    with caplog.at_level(logging.WARNING):
        assert newest_checkpoint(tmp_path) == good
    assert "step-00000002" in caplog.text and "net.safetensors" in caplog.text and "step-00000003" in caplog.text
    parts.save(tmp_path, 3)  # comes by there again
    assert newest_checkpoint(tmp_path) == empty and not draft.exists()


def test_a_failure_while_writing_leaves_the_older_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    parts = Parts()
    good = parts.save(tmp_path, 1)

    def full(*_: object, **__: object) -> None:
        raise OSError("no space left")

    monkeypatch.setattr(json, "dumps", full)
    with pytest.raises(OSError, match="no space"):
        parts.save(tmp_path, 2)
    monkeypatch.undo()
    assert newest_checkpoint(tmp_path) == good


def test_weights_of_another_architecture_and_a_damaged_file(tmp_path: Path) -> None:
    path = Parts().save(tmp_path, 1) / "net.safetensors"
    with pytest.raises(InputError, match=r"net\.safetensors: "):
        load_module(nn.Linear(2, 2), path)
    path.write_bytes(b"no")
    with pytest.raises(InputError, match=r"net\.safetensors"):
        load_module(nn.Linear(2, 2), path)
    with pytest.raises(InputError, match=r"state\.json"):
        read_state(tmp_path)


def test_no_checkpoint(tmp_path: Path) -> None:
    assert newest_checkpoint(tmp_path) is None


def overrides(pictures: Path, out: Path, steps: int) -> list[str]:
    often = ["checkpoint_every=5", "log_every=1", "sample_every=1000", "batch=4"]
    return [f"data.path={pictures}", f"out={out}", f"steps={steps}", *often]


@pytest.mark.parametrize("stage", ["gan", "inversion"])
def test_killed_run_goes_on_bit_for_bit(stage: str, tmp_path: Path) -> None:
    pictures = draw_pictures(tmp_path / "pictures")
    killed, whole = tmp_path / "killed", tmp_path / "whole"
    # Far more steps than it will live to do, so that the kill always comes in the middle of one.
    process = subprocess.Popen(
        train_command(stage, *overrides(pictures, killed, 100_000)),
        env=environment(),
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
    )
    deadline = time.monotonic() + 120
    while newest_checkpoint(killed) is None and process.poll() is None and time.monotonic() < deadline:
        time.sleep(0.02)
    time.sleep(0.1)
    process.send_signal(signal.SIGKILL)
    _, errors = process.communicate()
    assert process.returncode == -signal.SIGKILL, errors.decode()
    newest = newest_checkpoint(killed)
    assert newest is not None, errors.decode()
    steps = read_state(newest)["step"] + 7  # past a checkpoint, and an odd number of steps

    train = {"gan": loop.train_gan, "inversion": loop.train_inversion}[stage]
    resumed = train(config_of(stage), overrides(pictures, killed, steps))
    straight = train(config_of(stage), overrides(pictures, whole, steps))
    files = sorted(path.name for path in straight.glob("*.safetensors"))
    assert "ema.safetensors" in files and files == sorted(path.name for path in resumed.glob("*.safetensors"))
    for name in files:
        assert (resumed / name).read_bytes() == (straight / name).read_bytes(), name
    assert log_lines(killed) == log_lines(whole)
    assert [line["step"] for line in log_lines(killed)] == list(range(1, steps + 1))


def test_a_run_by_the_clock_ends_with_its_rates_at_the_bottom(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    rates, update = [], InversionTask._update

    def watched(it: InversionTask, name: str, *rest: Any) -> None:
        update(it, name, *rest)
        rates.append(it.optimizers[name].param_groups[0]["lr"])

    monkeypatch.setattr(InversionTask, "_update", watched)
    ticks = itertools.count()
    monkeypatch.setattr(time, "perf_counter", lambda: next(ticks) * 0.01)  # seconds: a clock that no other work slows
    common = overrides(draw_pictures(tmp_path / "pictures"), tmp_path / "run", 1_000_000)
    path = loop.train_inversion(config_of("inversion"), [*common, "time_budget=0.05", "optimizer.decay=cosine"])
    steps = read_state(path)["step"]
    assert len(rates) == steps and 30 < steps < 150 and next(ticks) == pytest.approx(300, abs=20)
    assert rates[-1] < 0.05 * max(rates)


@pytest.mark.parametrize("stage", ["gan", "inversion"])
@pytest.mark.parametrize("when", ["log_every=1", "checkpoint_every=1"])
def test_a_run_that_diverges_ends_and_is_not_saved(tmp_path: Path, stage: str, when: str) -> None:
    out = tmp_path / "run"
    common = overrides(draw_pictures(tmp_path / "pictures"), out, 9)
    rare = ["log_every=1000", "checkpoint_every=1000", "optimizer.lr=1e30", when]
    with pytest.raises(InputError, match=r"diverged by step \d: .* not finite; .*optimizer\.lr"):
        getattr(loop, f"train_{stage}")(config_of(stage), [*common, *rare])
    saved = [load_file(path) for path in out.glob("checkpoints/*/*.safetensors")]
    assert all(value.isfinite().all() for part in saved for value in part.values())


def test_a_folder_with_another_configuration_s_run_is_left_alone(tmp_path: Path) -> None:
    common = overrides(draw_pictures(tmp_path / "pictures"), tmp_path / "run", 1)
    path = loop.train_inversion(config_of("inversion"), common)
    with pytest.raises(InputError, match="seed"):
        loop.train_inversion(config_of("inversion"), [*common, "steps=2", "seed=1"])
    assert newest_checkpoint(tmp_path / "run") == path


def test_stage_2_starts_from_stage_1_s_average(tmp_path: Path) -> None:
    common = overrides(draw_pictures(tmp_path / "pictures"), tmp_path / "gan", 2)
    first = loop.train_gan(config_of("gan"), common)
    prior = [f"prior={tmp_path / 'gan'}", f"out={tmp_path / 'inversion'}"]
    second = loop.train_inversion(config_of("inversion"), [*common, *prior])
    whole = load_file(second / "model.safetensors")
    for name, value in load_file(first / "ema.safetensors").items():
        assert torch.equal(whole[f"generator.{name}"], value)  # taken over, and not trained
