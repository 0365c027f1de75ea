"""Training of a method to compare with: its network, its critic if it has one, and one step of them all.

What differs between methods (networks, losses, critics) is in their files in `invertfill.baselines`; the loop around it
is in loop.py.
"""

from __future__ import annotations

import copy

import torch
from torch import Tensor, nn

from invertfill.baselines.network import Judges
from invertfill.losses.features import vgg16
from invertfill.losses.inpainting import composite
from invertfill.training.config import BaselineConfig
from invertfill.training.data.batches import Batch
from invertfill.training.distributed import average_gradients, world_size
from invertfill.training.gan import ema_decay, update_ema
from invertfill.training.inversion import learning_rate


class BaselineTask:
    """A network, its critic, the moving average if there is one, and one training step of them all.

    Args:
        config: of its keys, those of the network, the optimiser, precision and EMA are used.
        device: where everything lives.

    Attributes:
        modules: what a checkpoint stores, by name: network, critic, ema (the one to use, if it is there).
        optimizers: by the name of the module that they train.
        steps, columns: see `invertfill.training.loop.Task`; two times input, fill and original are a row.

    Raises:
        InputError: the weights of VGG16 can't be had, where the losses need them.
    """

    columns = 6

    def __init__(self, config: BaselineConfig, device: torch.device | str) -> None:
        self.config, self.steps = config, config.steps
        self.device = torch.device(device)
        bf16 = config.precision == "bf16" or (config.precision == "auto" and self.device.type == "cuda")
        self.precision = "bf16" if bf16 else "fp32"
        self.network = config.network.build()
        self.judges = Judges(self.network.critic(), vgg16().to(self.device) if self.network.sees else None)
        self.modules: dict[str, nn.Module] = {"network": self.network}
        if self.judges.critic:
            self.modules["critic"] = self.judges.critic
        for module in self.modules.values():
            module.to(self.device)
            if config.channels_last:
                module.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        adam, fused = config.optimizer, self.device.type == "cuda" or None
        self.rates = {"network": 1.0, "critic": config.critic_lr_mult}
        self.optimizers: dict[str, torch.optim.Optimizer] = {
            name: torch.optim.Adam(
                module.parameters(), lr=adam.lr, betas=(adam.beta1, adam.beta2), eps=adam.eps, fused=fused
            )
            for name, module in self.modules.items()
        }
        self.best = self.network
        if config.ema_half_life:
            self.modules["ema"] = self.best = copy.deepcopy(self.network).requires_grad_(False)

    def train_step(self, batch: Batch, step: int) -> dict[str, Tensor]:
        """Train on one batch.

        Args:
            batch: this process's part of it, with masks, on the task's device.
            step: number of the step, from 0.

        Returns:
            The total loss of the network, its unweighted terms, and the critic's loss, by name.
        """
        real, mask = self._pictures(batch)
        logs: dict[str, Tensor] = {}
        with self._autocast():
            drawn = self.network.practise(real, mask)
            if self.judges.critic:
                judged = self.network.judge(
                    {name: part.detach() for name, part in drawn.items()}, real, mask, self.judges
                )
                self._update("critic", judged, step)
                logs["critic"] = judged.detach()
                self.judges.critic.requires_grad_(False)
            terms = self.network.losses(drawn, real, mask, self.judges)
        loss = torch.stack([weight * term.float() for weight, term in terms.values()]).sum()
        self._update("network", loss, step)
        if self.judges.critic:
            self.judges.critic.requires_grad_(True)
        if self.best is not self.network:
            count = len(real) * world_size()
            update_ema(self.best, self.network, ema_decay(count, (step + 1) * count, self.config.ema_half_life))
        return {"total": loss.detach()} | {name: term.detach() for name, (_, term) in terms.items()} | logs

    @torch.no_grad()
    def sample_grid(self, examples: Batch) -> Tensor:
        """Input, fill and original of each of N examples: (3N, 3, s, s) in [-1, 1]."""
        real, mask = self._pictures(examples)
        known = real * (1 - mask)
        self.best.eval()
        with self._autocast():
            filled = self.best(known, mask).float()
        self.best.train()
        return torch.stack([known, composite(filled.clamp(-1, 1), real, mask), real], 1).flatten(0, 1)

    def _update(self, name: str, loss: Tensor, step: int) -> None:
        optimizer, adam = self.optimizers[name], self.config.optimizer
        for group in optimizer.param_groups:
            group["lr"] = self.rates[name] * learning_rate(adam, step, self.steps)
        optimizer.zero_grad(set_to_none=True)
        loss.backward()  # type: ignore[no-untyped-call]
        average_gradients(optimizer)
        if adam.clip:
            nn.utils.clip_grad_norm_([p for g in optimizer.param_groups for p in g["params"]], adam.clip)
        optimizer.step()

    def _pictures(self, batch: Batch) -> tuple[Tensor, Tensor]:
        assert batch.masks is not None, "methods are trained with masks"
        images = batch.images
        if self.config.channels_last:
            images = images.contiguous(memory_format=torch.channels_last)
        return images, batch.masks

    def _autocast(self) -> torch.autocast:
        return torch.autocast(self.device.type, dtype=torch.bfloat16, enabled=self.precision == "bf16")
