"""Stage 2: everything in front of a frozen generator (Sec. 3): encoder, mapping networks, pre-modulation, RGB branch.

`InversionTask` is one step of it: the anchor w_o moves (Sec. 3.2), the network fills the hole, the losses of Eqs. 4 to
7 compare, Adam corrects. The loop around it is in loop.py.
"""

from __future__ import annotations

import copy
from collections.abc import Sequence
from pathlib import Path
from typing import Any, cast

import torch
from torch import Tensor, nn

from invertfill.errors import InputError
from invertfill.losses.inpainting import Features, LossWeights, composite, total_loss
from invertfill.losses.lpips import lpips
from invertfill.losses.vgg import vgg16
from invertfill.models.invertfill import InvertFill
from invertfill.training.checkpoint import STATE, load_module, newest_checkpoint, read_state
from invertfill.training.config import InversionConfig
from invertfill.training.distributed import average_gradients, world_size
from invertfill.training.gan import ema_decay, update_ema
from invertfill.training.mean_latent import SoftUpdateMeanLatent, long_run_mean


class InversionTask:
    """The model, its shadow weights, the mean latent and Adam, and one training step of them all.

    Args:
        config: of its keys, those of the model, the losses, the optimiser, precision and EMA are used.
        device: where everything lives.

    Attributes:
        modules: what a checkpoint stores, by name: model, ema (the one to use; it shares the frozen generator), and
            mean_latent.
        optimizers: by the name of the module that they train.

    Raises:
        InputError: the weights that `prior` or `init` name can't be had, or those of a loss's feature network.
    """

    def __init__(self, config: InversionConfig, device: torch.device | str) -> None:
        self.config = config
        self.device = torch.device(device)
        bf16 = config.precision == "bf16" or (config.precision == "auto" and self.device.type == "cuda")
        self.precision = "bf16" if bf16 else "fp32"

        self.model = InvertFill(config.model.model_dump(mode="json"))
        if config.prior:
            load_prior(self.model.generator, config.prior)
        if config.init:
            load_model(self.model, config.init)
        self.model = self.model.to(self.device)
        if config.channels_last:
            self.model = self.model.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        self.generator = cast(Any, self.model.generator.eval())
        self.model.w_mean.copy_(long_run_mean(self.generator.mapping, self.generator.latent_dim, self.device))
        if world_size() > 1 and self.device.type == "cuda":  # batch statistics of all processes; exists for CUDA only
            self.model = nn.SyncBatchNorm.convert_sync_batchnorm(self.model)

        self.ema = copy.deepcopy(self.model).eval().requires_grad_(False)
        self.ema.generator = self.model.generator
        latent = config.mean_latent
        self.mean_latent = SoftUpdateMeanLatent(self.model.w_mean, latent.samples, latent.tau, latent.tolerance)
        self.modules: dict[str, nn.Module] = {"model": self.model, "ema": self.ema, "mean_latent": self.mean_latent}
        adam = config.optimizer
        self.optimizers: dict[str, torch.optim.Optimizer] = {
            "model": torch.optim.Adam(
                self.model.trainable_parameters(), lr=adam.lr, betas=(adam.beta1, adam.beta2), eps=adam.eps
            )
        }
        weights = config.losses.model_dump(exclude={"lpips", "lpips_net"})
        self.weights = LossWeights(**weights)
        # Without the terms that look at VGG16's features, its weights aren't needed.
        self.features: Features = vgg16().to(self.device) if self.weights.perceptual or self.weights.style else _pixels

    def train_step(self, real: Tensor, mask: Tensor, step: int) -> dict[str, float]:
        """Train on one batch.

        Args:
            real: this process's part of the batch, (N, 3, s, s) in [-1, 1], on the task's device.
            mask: (N, 1, s, s), 1 = hole.
            step: number of the step, from 0.

        Returns:
            The total loss, and its unweighted terms: valid, hole, perceptual, style, tv, msr_..., fid, lpips.
        """
        real = self._place(real)
        w_mean = self.mean_latent.step(self.generator.mapping)
        with self._autocast():
            output = self.model(real, mask, w_mean)
            loss, terms = total_loss(
                output.image.float(),
                [rgb.float() for rgb in output.rgb],
                output.w_plus.float(),
                w_mean,
                real,
                mask,
                self.features,
                self.weights,
            )
            if self.config.losses.lpips:
                filled = composite(output.image.float(), real, mask)
                distance = lpips(filled, real, self.config.losses.lpips_net).mean()
                loss = loss + self.config.losses.lpips * distance
                terms["lpips"] = distance.detach()
        optimizer = self.optimizers["model"]
        optimizer.zero_grad(set_to_none=True)
        loss.backward()  # type: ignore[no-untyped-call]
        average_gradients(optimizer)
        optimizer.step()
        batch = len(real) * world_size()
        update_ema(self.ema, self.model, ema_decay(batch, (step + 1) * batch, self.config.ema_half_life))
        return {name: float(value) for name, value in {"total": loss.detach(), **terms}.items()}

    @torch.no_grad()
    def sample_grid(self, real: Tensor, mask: Tensor) -> Tensor:
        """Input, fill by the shadow weights, and original of each picture: (N, 3, s, s) -> (3N, 3, s, s) in [-1, 1]."""
        with self._autocast():
            filled = self.ema(self._place(real), mask).image.float()
        rows = torch.stack([real * (1 - mask), composite(filled.clamp(-1, 1), real, mask), real], 1)
        return rows.flatten(0, 1)

    def _place(self, images: Tensor) -> Tensor:
        return images.contiguous(memory_format=torch.channels_last) if self.config.channels_last else images

    def _autocast(self) -> torch.autocast:
        return torch.autocast(self.device.type, dtype=torch.bfloat16, enabled=self.precision == "bf16")


def load_prior(generator: nn.Module, path: Path) -> None:
    """Fill a generator from stage 1: a run's folder, a checkpoint (its moving average), or a .safetensors file.

    A file may hold the generator alone, or a whole InvertFill.

    Raises:
        InputError: nothing of the kind there, or weights of another architecture.
    """
    file = _weights_file(path, "a run of stage 1, a checkpoint, or a .safetensors file is accepted")
    load_module(generator, file, part="generator.")


def load_model(model: InvertFill, path: Path) -> None:
    """Fill a whole InvertFill from a run's folder, a checkpoint (its moving average), a model folder or its file.

    Raises:
        InputError: nothing of the kind there, or weights of another architecture.
    """
    load_module(model, _weights_file(path, "a run of stage 2, a checkpoint, a model folder or its file is accepted"))


def model_config(checkpoint: Path) -> dict[str, Any]:
    """The InvertFill configuration of a checkpoint of stage 2, plain values.

    Raises:
        InputError: no checkpoint, or one of stage 1.
    """
    config = read_state(checkpoint)["config"]
    if config.get("stage") != "inversion":
        raise InputError(f"{checkpoint}: a checkpoint of stage {config.get('stage')!r}; one of 'inversion' is accepted")
    return dict(config["model"])


def _weights_file(path: Path, accepted: str) -> Path:
    newest = newest_checkpoint(path) if path.is_dir() else None
    folder = newest or path
    if (folder / STATE).is_file():
        return folder / "ema.safetensors"
    for file in (folder / "model.safetensors", path):
        if file.is_file():
            return file
    raise InputError(f"{path}: no weights there; {accepted}")


def _pixels(x: Tensor, taps: Sequence[int]) -> list[Tensor]:
    return [x]
