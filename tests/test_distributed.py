"""Two CPU processes do what one does with the same global batch."""

from __future__ import annotations

import socket
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from conftest import environment
from training_runs import TRAIN, config_of, draw_pictures, log_lines

from invertfill.training import distributed, loop

pytestmark = pytest.mark.slow


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def run(command: list[str]) -> None:
    result = subprocess.run(command, env=environment(), capture_output=True, text=True, timeout=180)
    assert result.returncode == 0, result.stdout + result.stderr


def pair(stage: str, script: Path, *overrides: str) -> list[str]:
    script.write_text(TRAIN)
    launch = [sys.executable, "-m", "accelerate.commands.launch", "--multi_gpu", "--num_processes", "2"]
    plain = ["--num_machines", "1", "--mixed_precision", "no", "--dynamo_backend", "no"]
    port = ["--main_process_port", str(free_port())]
    return [*launch, *plain, *port, str(script), stage, str(config_of(stage)), *overrides]


@pytest.mark.parametrize(
    ("stage", "extra", "steps", "names"),
    [
        ("inversion", ["mean_latent.tau=0.5"], 6, None),
        # Of stage 1, what doesn't come after the draws of per-pixel noise, which each process makes for its own
        # pictures, and without minibatch deviation, which is of a process's pictures. r1 comes after an update.
        ("gan", ["discriminator.mbstd_group=1", "augment=none"], 1, ["discriminator", "real", "fake", "r1"]),
    ],
)
@pytest.mark.skipif(torch.cuda.is_available(), reason="accelerate would take the GPUs")
def test_two_processes_have_the_losses_of_one(
    stage: str, extra: list[str], steps: int, names: list[str] | None, tmp_path: Path
) -> None:
    pictures = draw_pictures(tmp_path / "pictures")
    common = [f"data.path={pictures}", f"steps={steps}", "log_every=1", "batch=8", *extra]
    train = {"gan": loop.train_gan, "inversion": loop.train_inversion}[stage]
    train(config_of(stage), [f"out={tmp_path / 'one'}", *common])
    run(pair(stage, tmp_path / "train.py", f"out={tmp_path / 'two'}", *common))
    one, two = log_lines(tmp_path / "one"), log_lines(tmp_path / "two")
    assert len(one) == len(two) == steps
    for a, b in zip(one, two, strict=True):
        for name in names or a:
            assert a[name] == pytest.approx(b[name], rel=1e-4, abs=1e-6), name
    assert '"processes": 2' in (tmp_path / "two" / "log.jsonl").read_text()


def test_alone_everything_is_this_process_s(monkeypatch: pytest.MonkeyPatch) -> None:
    batch = torch.arange(6)
    assert torch.equal(distributed.my_part(batch), batch)
    monkeypatch.setattr(distributed, "world_size", lambda: 3)
    monkeypatch.setattr(distributed, "rank", lambda: 1)
    assert distributed.my_part(batch).tolist() == [2, 3]


def test_a_step_s_draws_depend_on_seed_and_step_alone() -> None:
    distributed.seed_step(1, 5)
    first = distributed.randn(2, 3)
    torch.randn(7)
    distributed.seed_step(1, 5)
    assert torch.equal(distributed.randn(2, 3), first)
    distributed.seed_step(1, 6)
    assert not torch.equal(distributed.randn(2, 3), first)
