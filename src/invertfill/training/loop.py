"""The one training loop, on Hugging Face Accelerate: one process, or several by `accelerate launch`.

    RUN/log.jsonl           a line for the start and one every `log_every` steps
    RUN/tensorboard/        the same figures
    RUN/samples/            PNG grids
    RUN/checkpoints/        see checkpoint.py; the same command goes on from the newest

Gradients are averaged by the tasks (distributed.py), not by a wrapper around the modules: a GAN's step goes through
parts of a module and differentiates twice, which a wrapper's hooks don't see.
"""

from __future__ import annotations

import json
import math
import os
import subprocess
import time
from collections import defaultdict
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Protocol

import torch
from accelerate import Accelerator
from accelerate.utils import broadcast_object_list, gather_object
from PIL import Image
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn
from torch import Tensor, nn
from torch.optim import Optimizer
from torch.utils.tensorboard import SummaryWriter

from invertfill import __version__
from invertfill.errors import InputError
from invertfill.imaging.sheet import contact_sheet
from invertfill.training.baseline import BaselineTask
from invertfill.training.checkpoint import (
    load_checkpoint,
    newest_checkpoint,
    provenance_of,
    read_state,
    save_checkpoint,
)
from invertfill.training.config import (
    BaselineConfig,
    GanConfig,
    InversionConfig,
    MaskConfig,
    RunConfig,
    load_config,
    parse_config,
)
from invertfill.training.data.batches import Batch, Batches
from invertfill.training.data.readers import ImageSet
from invertfill.training.distributed import seed_step
from invertfill.training.gan import GanTask
from invertfill.training.guess import GuessTask
from invertfill.training.inversion import InversionTask, load_codes

# When a run goes on.
MAY_CHANGE = {"steps", "time_budget", "out", "name", "log_every", "sample_every", "checkpoint_every", "keep"}


class Task(Protocol):
    """What the loop needs of a stage: `GanTask`, `InversionTask` and `BaselineTask` have it.

    Attributes:
        precision: "fp32" or "bf16".
        modules, optimizers: what a checkpoint stores, by name.
        steps: that the run will have, all together, over which learning rates may fall; the loop corrects it.
        columns: of a grid.
    """

    precision: str
    modules: dict[str, nn.Module]
    optimizers: dict[str, Optimizer]
    steps: int
    columns: int

    def train_step(self, batch: Batch, step: int) -> dict[str, Tensor]:
        """Train on this process's part of the batch of a step, from 0; the losses by name, the total first."""

    def sample_grid(self, examples: Batch) -> Tensor:
        """What the task can do by now, on pictures that stay the same: (N, 3, s, s) in [-1, 1]."""


def train_gan(config_path: str | Path, overrides: list[str] | tuple[str, ...] = ()) -> Path:
    """Stage 1: train the generator; goes on where an earlier run in the same folder ended.

    Args:
        config_path: YAML, see `GanConfig`.
        overrides: `key.sub=value`.

    Returns:
        The newest checkpoint's folder.

    Raises:
        InputError: bad configuration or data, or a run folder that holds another configuration's run.
    """
    config = load_config(GanConfig, config_path, overrides)
    with _started(config, config.generator.size, None) as (accelerator, images, batches):
        return _run(config, accelerator, images, batches, GanTask(config, accelerator.device))


def train_inversion(config_path: str | Path, overrides: list[str] | tuple[str, ...] = ()) -> Path:
    """Stage 2: train encoder, mapping networks and RGB branch in front of a frozen generator; see `train_gan`."""
    config = load_config(InversionConfig, config_path, overrides)
    with _started(config, config.model.generator.size, config.masks) as (accelerator, images, batches):
        task_of = GuessTask if config.model.encoder.z_dim else InversionTask
        codes = load_codes(config.codes, images.names) if config.codes else None
        return _run(config, accelerator, images, batches, task_of(config, accelerator.device, codes))


def train_baseline(config_path: str | Path, overrides: list[str] | tuple[str, ...] = ()) -> Path:
    """A method to compare with: train its network as its paper does; see `train_gan`."""
    config = load_config(BaselineConfig, config_path, overrides)
    with _started(config, config.network.size, config.masks) as (accelerator, images, batches):
        return _run(config, accelerator, images, batches, BaselineTask(config, accelerator.device))


@contextmanager
def _started(config: RunConfig, size: int, masks: MaskConfig | None) -> Iterator[tuple[Accelerator, ImageSet, Batches]]:
    """Process group, device, data."""
    # Accelerate forms a group of CPU processes only where it is told that there is nothing better.
    accelerator = Accelerator(cpu=not (torch.cuda.is_available() or torch.backends.mps.is_available()))
    world, rank = accelerator.num_processes, accelerator.process_index
    if config.batch % world:
        raise InputError(f"batch {config.batch}: a multiple of the {world} processes is accepted")
    if accelerator.device.type == "cuda":
        torch.set_float32_matmul_precision("high")
        torch.backends.cudnn.benchmark = True
    data = config.data
    images = ImageSet(data.path, size, cache=data.cache, limit=data.limit, workers=data.workers)
    batches = Batches(
        images, data, masks, batch=config.batch, seed=config.seed, device=accelerator.device, rank=rank, world=world
    )
    torch.manual_seed(config.seed)  # every process starts from the same weights
    try:
        yield accelerator, images, batches
    finally:
        batches.close()
        images.close()
        accelerator.end_training()


def _run(config: RunConfig, accelerator: Accelerator, images: ImageSet, batches: Batches, task: Task) -> Path:
    """Resume, train, log, sample, save."""
    out, chief = config.out, accelerator.is_main_process
    plain = config.model_dump(mode="json")
    newest = newest_checkpoint(out)
    done, spent = 0, 0.0
    if newest:
        _same_run(newest, config)
        done = load_checkpoint(newest, task.modules, task.optimizers)
        spent = read_state(newest).get("seconds", spent)  # older checkpoints don't say
    console = Console(quiet=not chief, soft_wrap=True)
    origin = _origin(config, accelerator, images)
    examples = batches.examples(config.sample_count)
    start = {
        "event": "start",
        "step": done,
        "device": _device_name(accelerator.device),
        "precision": task.precision,
        "parameters": {name: sum(p.numel() for p in module.parameters()) for name, module in task.modules.items()},
        "trained": sum(p.numel() for o in task.optimizers.values() for g in o.param_groups for p in g["params"]),
        "batch": config.batch,
        "processes": accelerator.num_processes,
        "pictures": len(images),
        "broken": images.broken,
    }
    console.print(_first_line(config, start))
    journal = Journal(out, done) if chief else None
    if journal:
        journal.write(start)

    sums: dict[str, list[Tensor]] = defaultdict(list)
    since = time.perf_counter()
    begun, waited, pictures = since - spent, 0.0, 0
    budget = 60 * config.time_budget if config.time_budget else math.inf
    steps = config.steps if spent < budget else done
    with _progress(console) as progress:
        bar = progress.add_task(config.name, total=steps, completed=done, speed="", loss="")
        while done < steps:
            asked = time.perf_counter()
            batch = batches(done)
            waited += time.perf_counter() - asked
            seed_step(config.seed, done)
            for name, value in task.train_step(batch, done).items():
                sums[name].append(value)
            pictures += config.batch
            done += 1
            if config.time_budget and done % config.log_every == 0:
                now = time.perf_counter()
                fit = (budget - (now - begun)) * pictures / config.batch / (now - since)
                # The first process's clock counts: all end at the same step.
                (steps,) = broadcast_object_list([min(config.steps, done + max(0, int(fit)))])
                task.steps = steps
                progress.update(bar, total=steps)
            elif accelerator.num_processes == 1 and time.perf_counter() - begun >= budget:
                steps = done  # slower than at the last line; several processes look at the clock at lines alone
            last = done == steps
            logs, saves = (last or done % every == 0 for every in (config.log_every, config.checkpoint_every))
            if logs or saves:
                means = _means(sums, accelerator)
                _still_finite(means, config, done)
            if logs:
                seconds = time.perf_counter() - since
                line = means | {"images_per_second": pictures / seconds, "data_wait": waited / seconds}
                if journal:
                    journal.write({"step": done, **line})
                speed, loss = f"{line['images_per_second']:.1f} images/s", f"{next(iter(line.values())):.4g}"
                progress.update(bar, speed=speed, loss=f"loss {loss}")
                if not console.is_terminal:
                    console.print(f"step {done}/{steps}  {speed}  loss {loss}")
            progress.update(bar, completed=done)
            if journal and (done % config.sample_every == 0 or last):
                save_grid(task.sample_grid(examples), task.columns, out / "samples" / f"{done:08d}.png")
            if saves:
                if chief:
                    seconds = time.perf_counter() - begun
                    save_checkpoint(out, done, plain, origin, task.modules, task.optimizers, config.keep, seconds)
                accelerator.wait_for_everyone()
            if done % config.log_every == 0:  # only now: images/s are of training alone
                sums.clear()
                waited, since, pictures = 0.0, time.perf_counter(), 0
    if journal:
        journal.close()
    final = newest_checkpoint(out)
    assert final is not None
    return final


class Journal:
    """log.jsonl and TensorBoard of a run; what a killed run wrote after its last checkpoint is dropped.

    Args:
        out: the run's folder.
        done: steps done; later lines go.

    Raises:
        InputError: the folder can't be written.
    """

    def __init__(self, out: Path, done: int) -> None:
        path = out / "log.jsonl"
        try:
            out.mkdir(parents=True, exist_ok=True)
            lines = path.read_text(encoding="utf-8").splitlines() if path.exists() else []
            draft = path.with_suffix(".unfinished")
            draft.write_text("".join(f"{line}\n" for line in lines if _belongs(line, done)), encoding="utf-8")
            os.replace(draft, path)
            self._file = path.open("a", encoding="utf-8")
        except OSError as error:
            raise InputError(f"{out}: can't be written ({error}); `out` is the run's folder") from error
        self._board = SummaryWriter(str(out / "tensorboard"), purge_step=done + 1)

    def write(self, line: dict[str, Any]) -> None:
        """One line; numbers go to TensorBoard too."""
        self._file.write(json.dumps(line) + "\n")
        self._file.flush()
        for name, value in line.items():
            if "event" not in line and name != "step":
                self._board.add_scalar(name, value, line["step"])

    def close(self) -> None:
        self._file.close()
        self._board.close()


def save_grid(images: Tensor, columns: int, path: Path) -> None:
    """Save pictures (N, 3, s, s) in [-1, 1] as one PNG with that many columns."""
    pixels = ((images.float() + 1) * 127.5).round().clamp(0, 255).byte().permute(0, 2, 3, 1).cpu().numpy()
    path.parent.mkdir(parents=True, exist_ok=True)
    contact_sheet([Image.fromarray(picture) for picture in pixels], columns).save(path)


def _means(values: Mapping[str, list[Tensor]], accelerator: Accelerator) -> dict[str, float]:
    """Mean of each figure since the last line, over the processes; each has the same number of values of a name."""
    mine = {name: torch.stack(numbers).double().mean().item() for name, numbers in values.items()}
    everyone = gather_object([mine]) if accelerator.num_processes > 1 else [mine]
    return {name: sum(one[name] for one in everyone) / len(everyone) for name in mine}


def _still_finite(means: Mapping[str, float], config: RunConfig, step: int) -> None:
    """Ends a run that diverged before it is saved: no step would bring it back."""
    bad = [name for name, value in means.items() if not math.isfinite(value)]
    if bad:
        newest = newest_checkpoint(config.out)
        kept = f"{newest} is from before" if newest else "no checkpoint was saved"
        raise InputError(
            f"{config.name}: diverged by step {step}: {', '.join(bad)} not finite; {kept}; a lower `optimizer.lr` or"
            " `precision=fp32` is accepted"
        )


def _same_run(checkpoint: Path, config: RunConfig) -> None:
    # Read anew: what it says nothing of, because it is older, has its default.
    before = parse_config(type(config), read_state(checkpoint)["config"], str(checkpoint))
    changed = [key for key, value in config if key not in MAY_CHANGE and value != getattr(before, key)]
    if changed:
        raise InputError(
            f"{checkpoint}: made with another {', '.join(changed)}; give `out` a new folder, or the same configuration"
            f" (only {', '.join(sorted(MAY_CHANGE))} may change)"
        )


def _belongs(line: str, done: int) -> bool:
    try:
        return bool(json.loads(line)["step"] <= done)
    except (ValueError, KeyError, TypeError):  # cut off by the kill
        return False


def _origin(config: RunConfig, accelerator: Accelerator, images: ImageSet) -> dict[str, Any]:
    """What a checkpoint says about itself beside its configuration."""
    git = ["git", "-C", str(Path(__file__).parent), "describe", "--always", "--dirty", "--abbrev=12"]
    try:
        commit = subprocess.run(git, capture_output=True, text=True, check=True).stdout.strip()
    except (OSError, subprocess.CalledProcessError):  # installed without its repository
        commit = None
    origin: dict[str, Any] = {
        "version": __version__,
        "commit": commit,
        "torch": torch.__version__,
        "device": _device_name(accelerator.device),
        "processes": accelerator.num_processes,
        "pictures": len(images),
    }
    before = newest_checkpoint(config.init) if isinstance(config, InversionConfig) and config.init else None
    return origin | ({"init": provenance_of(before)} if before else {})


def _device_name(device: torch.device) -> str:
    return f"cuda ({torch.cuda.get_device_name(device)})" if device.type == "cuda" else str(device)


def _first_line(config: RunConfig, start: dict[str, Any]) -> str:
    parameters = ", ".join(f"{name} {count / 1e6:.2f} M" for name, count in start["parameters"].items() if count)
    shared = f" over {start['processes']} processes" if start["processes"] > 1 else ""
    return (
        f"{config.name}: {start['device']}, {start['precision']}, parameters {parameters}"
        f" ({start['trained'] / 1e6:.2f} M trained), batch {config.batch}{shared}, {start['pictures']} pictures"
        + (f" ({len(start['broken'])} broken files skipped)" if start["broken"] else "")
        + (f", going on after step {start['step']}" if start["step"] else "")
    )


def _progress(console: Console) -> Progress:
    return Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn("{task.fields[speed]}"),
        TextColumn("{task.fields[loss]}"),
        TimeElapsedColumn(),
        TimeRemainingColumn(),
        console=console,
        disable=not console.is_terminal,
    )
