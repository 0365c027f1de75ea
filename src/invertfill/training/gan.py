"""Stage 1: the StyleGAN2 generator from scratch.

The recipe of Karras et al. 2020: non-saturating loss, lazy R1 and path length regularisers, style mixing and an
exponential moving average of the generator; DiffAugment for small data sets. `GanTask` is one step of it; the loop
around it is in loop.py.
"""

from __future__ import annotations

import copy
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TypeVar

import torch
import torch.distributed as dist
import torch.nn.functional as F
from torch import Tensor, nn

from invertfill.nn.generators.stylegan2 import StyleGAN2Discriminator, StyleGAN2Generator
from invertfill.training.config import AdamConfig, GanConfig
from invertfill.training.data.batches import Batch
from invertfill.training.diffaugment import augment
from invertfill.training.distributed import average_gradients, my_part, randn, world_size

M = TypeVar("M", bound=nn.Module)

EMA_RAMP = 0.05  # the half-life is at most this share of the pictures seen, so that the start is soon forgotten


class GanTask:
    """Generator, discriminator, the generator's moving average and two Adams, and one training step of them all.

    Args:
        config: of its keys, those of the model, the optimizer, the regularisers, precision, EMA and samples are used.
        device: where everything lives.

    Attributes:
        modules: what a checkpoint stores, by name: generator, discriminator, ema (the one to use), path_mean.
        optimizers: by the name of the module that they train.
        steps, columns: see `invertfill.training.loop.Task`; learning rates don't change.
    """

    def __init__(self, config: GanConfig, device: torch.device | str) -> None:
        self.config, self.steps = config, config.steps
        self.columns = max(1, round(config.sample_count**0.5))
        self.device = torch.device(device)
        bf16 = config.precision == "bf16" or (config.precision == "auto" and self.device.type == "cuda")
        self.precision = "bf16" if bf16 else "fp32"

        self.generator = self._place(config.generator.build())
        self.discriminator = self._place(StyleGAN2Discriminator(config.discriminator, config.generator.size))
        self.ema = copy.deepcopy(self.generator).eval().requires_grad_(False)
        self.path_mean = PathMean().to(self.device)
        self.modules: dict[str, nn.Module] = {
            "generator": self.generator,
            "discriminator": self.discriminator,
            "ema": self.ema,
            "path_mean": self.path_mean,
        }
        self.optimizers: dict[str, torch.optim.Optimizer] = {
            "generator": lazy_adam(self.generator, config.optimizer, config.path_every if config.path_weight else 0),
            "discriminator": lazy_adam(self.discriminator, config.optimizer, config.r1_every if config.r1_gamma else 0),
        }

    def train_step(self, batch: Batch, step: int) -> dict[str, Tensor]:
        """Train on one batch.

        Args:
            batch: this process's part of it, on the task's device.
            step: number of the step, from 0; it says when a regulariser's turn is.

        Returns:
            The losses by name: generator, discriminator, real and fake (mean logits), and r1 and path (unweighted)
            in the steps that have them.
        """
        config, real = self.config, batch.images
        logs = self._train_discriminator(real)
        if config.r1_gamma and step % config.r1_every == 0:
            logs["r1"] = self._regularise_discriminator(real)
        logs["generator"] = self._train_generator(len(real))
        if config.path_weight and step % config.path_every == 0:
            logs["path"] = self._regularise_generator(max(1, len(real) // config.path_shrink))
        count = len(real) * world_size()
        update_ema(self.ema, self.generator, ema_decay(count, (step + 1) * count, config.ema_half_life))
        return logs

    @torch.no_grad()
    def sample_grid(self, examples: Batch) -> Tensor:
        """The moving average's pictures of latents that stay the same: (sample_count, 3, s, s) in [-1, 1]."""
        count = self.config.sample_count
        z = torch.randn(count, self.generator.latent_dim, generator=torch.Generator().manual_seed(0))
        images = [self.ema(part, noise="const") for part in torch.split(z.to(self.device), 8)]
        return torch.cat(images).clamp(-1, 1)

    def _train_discriminator(self, real: Tensor) -> dict[str, Tensor]:
        with torch.no_grad(), self._autocast():
            fake, _ = self._generate(len(real))
        with self._autocast():
            on_real = self.discriminator(self._augment(real))
            on_fake = self.discriminator(self._augment(fake))
        loss = discriminator_loss(on_real, on_fake)
        self._update("discriminator", loss)
        return {"discriminator": loss.detach(), "real": on_real.detach().mean(), "fake": on_fake.detach().mean()}

    def _regularise_discriminator(self, real: Tensor) -> Tensor:
        # In full precision, as is the path length: second derivatives lose too much in bf16.
        images = real.detach().requires_grad_()
        penalty = r1_penalty(self.discriminator(self._augment(images)), images)
        self._update("discriminator", self.config.r1_gamma / 2 * self.config.r1_every * penalty)
        return penalty.detach()

    def _train_generator(self, count: int) -> Tensor:
        with _frozen(self.discriminator):
            with self._autocast():
                fake, _ = self._generate(count)
                logits = self.discriminator(self._augment(fake))
            loss = generator_loss(logits)
            self._update("generator", loss)
        return loss.detach()

    def _regularise_generator(self, count: int) -> Tensor:
        image, w_plus = self._generate(count)
        penalty = self.path_mean(path_lengths(image, w_plus), self.config.path_decay)
        self._update("generator", self.config.path_weight * self.config.path_every * penalty)
        return penalty.detach()

    def _generate(self, count: int) -> tuple[Tensor, Tensor]:
        """Fresh images (count, 3, s, s) and their w_plus (count, L, latent_dim)."""
        w_plus = mixed_styles(self.generator, count, self.config.style_mixing, self.device)
        return self.generator.synthesis(w_plus, noise="random"), w_plus

    def _augment(self, images: Tensor) -> Tensor:
        return augment(images) if self.config.augment == "diffaugment" else images

    def _update(self, name: str, loss: Tensor) -> None:
        optimizer = self.optimizers[name]
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        average_gradients(optimizer)
        optimizer.step()

    def _place(self, module: M) -> M:
        module = module.to(self.device)
        if self.config.channels_last:
            module.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        return module

    def _autocast(self) -> torch.autocast:
        return torch.autocast(self.device.type, dtype=torch.bfloat16, enabled=self.precision == "bf16")


class PathMean(nn.Module):
    """The running mean a of path lengths, kept in a module so that checkpoints hold it."""

    mean: Tensor

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("mean", torch.zeros(()))

    def forward(self, lengths: Tensor, decay: float) -> Tensor:
        """Move a by ``decay`` towards the mean of ``lengths`` (N,), over all processes; return mean (length - a)^2."""
        batch_mean = lengths.detach().mean()
        if world_size() > 1:
            dist.all_reduce(batch_mean)
            batch_mean /= world_size()
        self.mean.lerp_(batch_mean, decay)
        return (lengths - self.mean.clone()).square().mean()


def discriminator_loss(on_real: Tensor, on_fake: Tensor) -> Tensor:
    """Non-saturating logistic loss of logits (N,): mean of -log D(x) - log(1 - D(G(z)))."""
    return F.softplus(-on_real).mean() + F.softplus(on_fake).mean()


def generator_loss(on_fake: Tensor) -> Tensor:
    """Non-saturating logistic loss of logits (N,): mean of -log D(G(z))."""
    return F.softplus(-on_fake).mean()


def r1_penalty(logits: Tensor, images: Tensor) -> Tensor:
    """Mean over images of the squared norm of the logit's gradient in the image (Mescheder et al. 2018), unweighted."""
    (gradient,) = torch.autograd.grad(logits.sum(), images, create_graph=True)
    return gradient.square().sum(dim=(1, 2, 3)).mean()


def path_lengths(image: Tensor, w_plus: Tensor) -> Tensor:
    """|J^T y| of each image for a random image y of unit pixels, over the root of its pixel count.

    Args:
        image: (N, 3, s, s), drawn from ``w_plus``.
        w_plus: (N, L, D); the square is averaged over layers.

    Returns:
        (N,), differentiable.
    """
    y = torch.randn_like(image) / (image.shape[2] * image.shape[3]) ** 0.5
    (gradient,) = torch.autograd.grad((image * y).sum(), w_plus, create_graph=True)
    return gradient.square().sum(dim=2).mean(dim=1).sqrt()


def mixed_styles(generator: StyleGAN2Generator, count: int, probability: float, device: torch.device) -> Tensor:
    """w_plus (count, L, D) of fresh latents; with ``probability`` a second latent takes over from a random layer on."""
    layers = generator.num_layers
    w = generator.mapping(randn(count, generator.latent_dim, device=device)).unsqueeze(1)
    if not probability:
        return w.expand(-1, layers, -1)
    other = generator.mapping(randn(count, generator.latent_dim, device=device)).unsqueeze(1)
    everyone = count * world_size()
    start = my_part(torch.randint(1, layers, (everyone, 1), device=device))
    mix = my_part(torch.rand(everyone, 1, device=device)) < probability
    second = mix & (torch.arange(layers, device=device) >= start)  # (count, L)
    return torch.where(second.unsqueeze(2), other, w)


def lazy_adam(module: nn.Module, config: AdamConfig, every: int) -> torch.optim.Adam:
    """Adam for a main step always and a regulariser's step once in ``every``; 0 = no regulariser.

    With c = every / (every + 1), the rate becomes lr * c and the betas beta ** c (Karras et al. 2020, appendix B), so
    that the extra steps change neither the rate of learning nor the memory in pictures.
    """
    c = every / (every + 1) if every else 1.0
    betas = (config.beta1**c, config.beta2**c)
    return torch.optim.Adam(module.parameters(), lr=config.lr * c, betas=betas, eps=config.eps)


def ema_decay(batch: int, seen: int, half_life: float) -> float:
    """Decay for one step of ``batch`` pictures after ``seen`` in all; half_life in pictures, 0 = no average."""
    half_life = min(half_life, EMA_RAMP * seen)
    return 0.5 ** (batch / half_life) if half_life else 0.0


@torch.no_grad()
def update_ema(ema: nn.Module, module: nn.Module, decay: float) -> None:
    """ema <- decay * ema + (1 - decay) * module, parameter by parameter; buffers are copied."""
    for average, current in zip(ema.parameters(), module.parameters(), strict=True):
        average.lerp_(current, 1 - decay)
    for buffer, current_buffer in zip(ema.buffers(), module.buffers(), strict=True):
        buffer.copy_(current_buffer)


@contextmanager
def _frozen(module: nn.Module) -> Iterator[None]:
    module.requires_grad_(False)
    try:
        yield
    finally:
        module.requires_grad_(True)
