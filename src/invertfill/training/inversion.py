"""Stage 2: everything in front of a frozen generator (Sec. 3): encoder, mapping networks, pre-modulation, RGB branch.

`InversionTask` is one step of it: the anchor w_o moves (Sec. 3.2), the network fills the hole, the losses of Eqs. 4 to
7 compare, Adam corrects. The loop around it is in loop.py.

Beyond the paper, each off unless its weight is set: losses on the composite as the inpainter writes it (border matched;
L1, LPIPS, adversarial), and the distance to known style codes, which can also be learned alone, without the generator.
"""

from __future__ import annotations

import copy
import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from invertfill.errors import InputError
from invertfill.losses import adversarial
from invertfill.losses.blending import match_border
from invertfill.losses.features import vgg16
from invertfill.losses.inpainting import Features, composite, hole_loss, msr_loss, total_loss
from invertfill.losses.lpips import LPIPS
from invertfill.nn.encoder import fold_norm
from invertfill.nn.invertfill import InvertFill
from invertfill.training.checkpoint import STATE, load_module, newest_checkpoint, read_state, read_tensors
from invertfill.training.config import AdamConfig, InversionConfig
from invertfill.training.data.batches import Batch
from invertfill.training.distributed import average_gradients, my_part, world_size
from invertfill.training.gan import ema_decay, update_ema
from invertfill.training.mean_latent import SoftUpdateMeanLatent, long_run_mean

Terms = dict[str, tuple[float | Tensor, Tensor]]
"""Weight and value of losses, by name."""


class InversionTask:
    """The model, its shadow weights, the mean latent and Adam, and one training step of them all.

    Args:
        config: of its keys, those of the model, the losses, the optimiser, precision and EMA are used.
        device: where everything lives.
        codes: (K, D), the set's known style codes w by the pictures' numbers, NaN where there is none; None: none is.

    Attributes:
        modules: what a checkpoint stores, by name: model, ema (the one to use; it shares a frozen generator),
            mean_latent, and the discriminator if there is one.
        optimizers: by the name of the module that they train.
        steps, columns: see `invertfill.training.loop.Task`; two times input, fill and original are a row.

    Raises:
        InputError: the model's parts don't fit each other; the weights that `prior` or `init` name can't be had, or
            those of a loss's feature network.
    """

    columns = 6

    def __init__(self, config: InversionConfig, device: torch.device | str, codes: Tensor | None = None) -> None:
        self.config, self.steps = config, config.steps
        self.device = torch.device(device)
        self.codes = None if codes is None else codes.to(self.device)
        bf16 = config.precision == "bf16" or (config.precision == "auto" and self.device.type == "cuda")
        self.precision = "bf16" if bf16 else "fp32"

        try:
            self.model = InvertFill(config.model)
        except ValueError as error:  # parts that don't fit each other
            raise InputError(f"model: {error}") from None
        if config.prior:
            load_prior(self.model.generator, config.prior)
        if config.layers:
            load_layers(self.model, config.layers)
        if config.init:
            load_model(self.model, config.init)
        self.model = self.model.to(self.device)
        if config.channels_last:
            self.model = self.model.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        self.generator = self.model.generator.eval()
        self.model.w_mean.copy_(long_run_mean(self.generator.mapping, self.generator.z_dim, self.device))
        if world_size() > 1 and self.device.type == "cuda":  # batch statistics of all processes; exists for CUDA only
            self.model = nn.SyncBatchNorm.convert_sync_batchnorm(self.model)

        adam, fused = config.optimizer, self.device.type == "cuda" or None
        self.optimizers: dict[str, torch.optim.Optimizer] = {
            "model": torch.optim.Adam(
                self._groups(), lr=adam.lr, betas=(adam.beta1, adam.beta2), eps=adam.eps, fused=fused
            )
        }
        self.ema = copy.deepcopy(self.model).eval().requires_grad_(False)
        if not config.lr_mult.generator:
            self.ema.generator = self.model.generator
        self.mean_latent = SoftUpdateMeanLatent(config.mean_latent, self.model.w_mean, self.generator.z_dim)
        self.modules: dict[str, nn.Module] = {"model": self.model, "ema": self.ema, "mean_latent": self.mean_latent}
        losses = config.losses
        # Without the terms that look at a network's features, its weights aren't needed.
        self.features: Features | None = None
        if losses.perceptual or losses.style:
            self.features = vgg16().to(self.device)
        if losses.code:
            z = torch.randn(4096, self.generator.latent_dim, generator=torch.Generator().manual_seed(0))
            with torch.no_grad():
                self.code_scale = torch.diag(1 / self.generator.mapping(z.to(self.device)).std(0))
            if config.code_metric:
                self.code_scale = load_metric(config.code_metric, self.generator.latent_dim).to(self.device)
        self.lpips: LPIPS | None = None
        if config.through_generator and (losses.lpips or losses.adversarial):
            self.lpips = LPIPS(losses.lpips_net).to(self.device)
        if config.compile:  # of these, since they are all that takes time; the moving average draws as it is
            self.model.draw = torch.compile(self.model.draw)  # type: ignore[method-assign]
            if self.lpips:
                self.lpips.stages = torch.compile(self.lpips.stages)  # type: ignore[method-assign]
        self.discriminator: adversarial.FeatureDiscriminator | None = None
        if self.lpips and losses.adversarial:
            self.discriminator = adversarial.FeatureDiscriminator(self.lpips.widths).to(self.device)
            self.modules["discriminator"] = self.discriminator
            judge = {"params": list(self.discriminator.parameters()), "rate": config.lr_mult.discriminator}
            self.optimizers["discriminator"] = torch.optim.Adam(
                [judge], lr=adam.lr, betas=(0.0, 0.99), eps=adam.eps, fused=fused
            )

    def _groups(self) -> list[dict[str, Any]]:
        """Parameters that learn, and their multiples of the learning rate, for Adam."""
        # "rate", in Adam's groups, is a name that checkpoints hold: it stays.
        return [
            {"params": parameters, "rate": rate}
            for part, rate in self.config.lr_mult
            if (parameters := choose_parameters(self.model, part, rate > 0))
        ]

    def train_step(self, batch: Batch, step: int) -> dict[str, Tensor]:
        """Train on one batch.

        Args:
            batch: this process's part of it, with masks, on the task's device.
            step: number of the step, from 0.

        Returns:
            The total loss, and its unweighted terms: valid, hole, perceptual, style, tv, msr_..., fid, and those beyond
            the paper; as tensors, since a float would wait for the device.
        """
        real, mask = self._pictures(batch)
        codes = None if self.codes is None else self.codes[batch.indices].masked_fill(batch.mirrored[:, None], math.nan)
        w_mean = self.mean_latent.step(self.generator.mapping)
        alone = None
        if self.config.from_code and codes is not None:
            draws = my_part(torch.rand(len(real) * world_size(), device=real.device))
            alone = (draws < self.config.from_code) & ~codes.isnan().any(1)
            mask = mask.masked_fill(alone[:, None, None, None], 1)
        with self._autocast():
            w_found, rgb_found = self.model.encode(real, mask, w_mean)
            w_plus, rgb = w_found.float(), [o.float() for o in rgb_found]
            if alone is not None and codes is not None:
                w_plus = torch.where(alone[:, None, None], codes[:, None], w_plus)
            if self.config.through_generator:
                image = self.model.draw(real, mask, w_plus).float()
                loss, terms = total_loss(image, rgb, w_plus, w_mean, real, mask, self.features, self.config.losses)
                extra = self._composite_losses(image, real, mask, step)
            else:
                loss, terms = msr_loss(rgb, real, self.features, self.config.losses)
                loss, extra = self.config.losses.msr * loss, {}
            if self.config.losses.code and codes is not None:
                extra["code"] = (self.config.losses.code, self._code_loss(w_plus, codes))
        loss = loss + sum(weight * term for weight, term in extra.values())
        terms |= {name: term.detach() for name, (_, term) in extra.items()}
        self._update("model", loss, step)
        self._average(len(real), step)
        return {"total": loss.detach(), **terms}

    def _composite_losses(self, image: Tensor, real: Tensor, mask: Tensor, step: int) -> Terms:
        """Losses on the composite as the inpainter writes it: weight and value by name."""
        weights = self.config.losses
        if not (weights.border or self.lpips):
            return {}
        matched = self._match(image, real, mask)
        terms: Terms = {"border": (weights.border, hole_loss(matched, real, mask))}
        if self.lpips is None:
            return terms
        # The feature networks look at every fourth pixel, their deep layers at every sixteenth. Without a shift the
        # output would be tuned to these places: a woven texture.
        if (crop := self.config.losses.lpips_crop) is None:
            y, x = torch.randint(16, (2,)).tolist()
        else:
            y, x = torch.randint(real.shape[-1] - crop + 1, (2,)).tolist()
        pictures = composite(matched, real, mask), real, mask
        filled, target, hole = (t.roll((-y, -x), (2, 3))[..., :crop, :crop] for t in pictures)
        found = self.lpips.stages(filled)
        with torch.no_grad():
            wanted = self.lpips.stages(target)
        if weights.lpips:
            terms["lpips"] = (weights.lpips, self.lpips.distance(found, wanted).mean())
        return terms | self._adversarial(found, wanted, hole, step)

    def _adversarial(self, found: list[Tensor], wanted: list[Tensor], hole: Tensor, step: int) -> Terms:
        """Train the discriminator, where there is one, on features of fills and truth; what it says of the fills."""
        if self.discriminator is None:
            return {}
        on_real = self.discriminator(wanted, hole)
        on_fake = self.discriminator([stage.detach() for stage in found], hole)
        judged = adversarial.discriminator_loss(on_real, on_fake)
        self._update("discriminator", judged, step)
        self.discriminator.requires_grad_(False)
        fooled = adversarial.generator_loss(self.discriminator(found, hole))
        self.discriminator.requires_grad_(True)
        return {"discriminator": (0.0, judged.detach()), "adversarial": (self.config.losses.adversarial, fooled)}

    def _code_loss(self, w_plus: Tensor, codes: Tensor) -> Tensor:
        """Mean squared distance of every style vector to the known code; 0 where none is.

        In standard deviations of the entries, or, with `code_metric`, by how visible it is.
        """
        # Not by indexing, for whose size a GPU would have to be waited for.
        difference = torch.where(codes.isnan().any(1)[:, None, None], 0.0, w_plus - codes[:, None])
        return (difference @ self.code_scale).square().sum() / w_plus.numel()

    def _update(self, name: str, loss: Tensor, step: int) -> None:
        optimizer, adam = self.optimizers[name], self.config.optimizer
        for group in optimizer.param_groups:
            group["lr"] = group.get("rate", 1.0) * learning_rate(adam, step, self.steps)
        optimizer.zero_grad(set_to_none=True)
        loss.backward()  # type: ignore[no-untyped-call]
        average_gradients(optimizer)
        if adam.clip:
            nn.utils.clip_grad_norm_([p for g in optimizer.param_groups for p in g["params"]], adam.clip)
        optimizer.step()

    def _average(self, count: int, step: int) -> None:
        """Move the shadow weights after a step in which this process had that many pictures."""
        batch = count * world_size()
        update_ema(self.ema, self.model, ema_decay(batch, (step + 1) * batch, self.config.ema_half_life))

    @torch.no_grad()
    def sample_grid(self, examples: Batch) -> Tensor:
        """Input, fill by the shadow weights, and original of each of N examples: (3N, 3, s, s) in [-1, 1]."""
        real, mask = self._pictures(examples)
        with self._autocast():
            filled = self.ema(real, mask).image.float()
        filled = composite(self._match(filled, real, mask).clamp(-1, 1), real, mask)
        rows = torch.stack([real * (1 - mask), filled, real], 1)
        return rows.flatten(0, 1)

    def _match(self, image: Tensor, real: Tensor, mask: Tensor) -> Tensor:
        """As the inpainter will."""
        return match_border(image, real, mask) if self.config.model.blend == "membrane" else image

    def _pictures(self, batch: Batch) -> tuple[Tensor, Tensor]:
        assert batch.masks is not None, "stage 2 has masks"
        return self._place(batch.images), batch.masks

    def _place(self, images: Tensor) -> Tensor:
        return images.contiguous(memory_format=torch.channels_last) if self.config.channels_last else images

    def _autocast(self) -> torch.autocast:
        return torch.autocast(self.device.type, dtype=torch.bfloat16, enabled=self.precision == "bf16")


def choose_parameters(model: InvertFill, part: str, learns: bool) -> list[nn.Parameter]:
    """Freeze or free a part of the model; of the generator, all but its mapping network, its fixed noise and its prior.

    Returns:
        The parameters of that part that learn.
    """
    chosen = []
    for name, parameter in model.named_parameters():
        if name.startswith(f"{part}."):
            # Generators call it map or mapping; a prior says what codes mean. Noise, a picture itself, would learn the
            # training set's mean.
            stays = name.startswith(("generator.map", "generator.prior")) or name.endswith(".noise")
            parameter.requires_grad_(learns and not stays)
            chosen.append(parameter)
    return [parameter for parameter in chosen if parameter.requires_grad]


def learning_rate(adam: AdamConfig, step: int, steps: int) -> float:
    """Of a step (from 0): a linear rise over `warmup` steps, times a cosine from 1 to 0.02 if `decay` says so."""
    rise = min(1.0, (step + 1) / adam.warmup) if adam.warmup else 1.0
    fall = 0.02 + 0.98 * 0.5 * (1 + math.cos(math.pi * step / steps)) if adam.decay == "cosine" else 1.0
    return adam.lr * rise * fall


def load_codes(path: Path, names: Sequence[str]) -> Tensor:
    """Style codes of pictures that are named by their seed.

    Args:
        path: safetensors with "seed" (K,) and "w" (K, D).
        names: the pictures' file names.

    Returns:
        (len(names), D) float32; NaN for a picture whose seed isn't there.

    Raises:
        InputError: no such file, or another content.
    """
    stored = read_tensors(path, "seed", "w")
    w, place = stored["w"].float(), {int(seed): i for i, seed in enumerate(stored["seed"])}
    rows = [place.get(int(stem), -1) if (stem := Path(name).stem).isdecimal() else -1 for name in names]
    return torch.cat([w, torch.full_like(w[:1], math.nan)])[rows]  # the last row, -1, is of the unknown


def load_metric(path: Path, latent_dim: int) -> Tensor:
    """What `recipes/faces-256/code_metric.py` writes: (D, D), by which a difference of codes is multiplied.

    Raises:
        InputError: no such file, or another content.
    """
    factor = read_tensors(path, "factor")["factor"].float()
    if factor.shape != (latent_dim, latent_dim):
        raise InputError(f"{path}: a factor of {tuple(factor.shape)}; accepted: {(latent_dim, latent_dim)}")
    return factor


def load_prior(generator: nn.Module, path: Path) -> None:
    """Fill a generator from stage 1: a run's folder, a checkpoint (its moving average), or a .safetensors file.

    A file may hold the generator alone, or a whole InvertFill.

    Raises:
        InputError: nothing of the kind there, or weights of another architecture.
    """
    file = _weights_file(path, "a run of stage 1, a checkpoint, or a .safetensors file is accepted")
    load_module(generator, file, part="generator.")


def load_layers(model: InvertFill, path: Path) -> None:
    """Fill generator and RGB branch from a file that holds these alone; what it hasn't (styles, noise) stays new.

    Raises:
        InputError: nothing of the kind there, or weights of another architecture.
    """
    file = _weights_file(path, "a folder with model.safetensors, or a .safetensors file is accepted")
    tensors, state = read_tensors(file), model.state_dict()
    fits = {
        name: tensor
        for name, tensor in tensors.items()
        if name in state and tensor.shape == state[name].shape and ".affine." not in name
    }
    styles = ("generator.map.", "affine.")
    if unfit := sorted(n for n in tensors.keys() - fits.keys() if not any(s in n for s in styles)):
        raise InputError(f"{file}: weights of another architecture: {unfit[0]} doesn't fit")
    model.load_state_dict(state | fits)


def load_model(model: InvertFill, path: Path) -> None:
    """Fill a whole InvertFill from a run's folder, a checkpoint (its moving average), a model folder or its file.

    Normalisation that the checkpoint's encoder has and the model's hasn't is folded. Noise that the model's RGB branch
    has and the checkpoint's hasn't is new. So is what its generator adds to the constant; at first that is nothing.

    Raises:
        InputError: nothing of the kind there, or weights of another architecture.
    """
    file = _weights_file(path, "a run of stage 2, a checkpoint, a model folder or its file is accepted")
    source = model
    if (file.parent / STATE).is_file():
        config = model_config(file.parent)
        if config["encoder"].get("norm") and not model.config["encoder"].get("norm"):
            source = InvertFill(config)
    load_module(source, file, optional=("rgb_branch.noise", "generator.layout"))
    if source is not model:
        fold_norm(source.encoder)
        model.load_state_dict(model.state_dict() | source.state_dict())


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
