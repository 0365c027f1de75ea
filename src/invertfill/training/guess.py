"""Stage 2 where the style code has to matter: a conditional VAE-GAN whose latent is the paper's.

E(I_m) sees nothing that the RGB branch doesn't see, so a code of it alone hardly changes a fill. What a code can carry
is what the known pixels leave open. So the encoder also says which z a picture may have: q(z|I) of the whole picture,
p(z|I_m) of the masked one, both Gaussian, and w* = E(I_m) + mapping(z), the mean latent's place taken by mapping(z).
Each picture takes one path (`PathsConfig`):

    whole   z ~ q: the generator learns what z means
    mean    z = mean of p: the default fill
    drawn   z ~ p: another fill; not compared with the truth, which would teach the generator to ignore z
    anchor  w_o, the soft-update mean latent (Sec. 3.2)

p learns to say what q says (KL(q||p)), and q to say a set number of nats more than p. Sources: Sohn et al. 2015
(conditional VAE), Zhu et al. 2017 (BicycleGAN: z recovered from the picture), Zheng et al. 2019 (pluralism).
"""

from __future__ import annotations

import re
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from invertfill.losses.inpainting import composite, fidelity_loss, msr_loss
from invertfill.nn.encoder import Gaussian
from invertfill.training.config import GuessConfig
from invertfill.training.data.batches import Batch
from invertfill.training.distributed import world_size
from invertfill.training.inversion import InversionTask, Terms
from invertfill.training.mean_latent import long_run_mean

WHOLE, MEAN, DRAWN, ANCHOR = range(4)
RIM = 8  # px from the known pixels within which a drawn fill is compared with the truth
BLIND = (4, 8, 16)  # px of the features that `GuessConfig.blind` is about
REFRESH = 200  # steps after which the long-run mean latent is measured anew: the mapping network learns
FEW = 0.02  # smallest share of a hole that `GuessConfig.balance` tells apart


class GuessTask(InversionTask):
    """`InversionTask` for an encoder that guesses z; the configuration refuses what doesn't apply to it."""

    @property
    def guess(self) -> GuessConfig:
        return self.config.guess

    def _groups(self) -> list[dict[str, Any]]:
        groups = super()._groups()
        rate = self.config.lr_mult.generator * self.config.guess.affine
        styles = re.compile(r"generator\.(map|layout)\.|generator\..*\.affine\.")
        quick = [parameter for name, parameter in self.model.named_parameters() if styles.match(name)]
        for parameter in quick:
            parameter.requires_grad_(True)
        chosen = {id(parameter) for parameter in quick}
        trained = {id(p) for name, p in self.model.named_parameters() if name.startswith(("generator.", "rgb_branch."))}
        for group in groups:
            group["params"] = [p for p in group["params"] if id(p) not in chosen]
            group["frozen"] = bool(group["params"]) and all(id(p) in trained for p in group["params"])
        return [*groups, {"params": quick, "rate": rate, "frozen": False}]

    def train_step(self, batch: Batch, step: int) -> dict[str, Tensor]:
        """Train on one batch; arguments and result as of `InversionTask.train_step`."""
        real, mask = self._pictures(batch)
        guess, count = self.guess, len(real)
        seen = step * count * world_size()
        if step % REFRESH == 0:
            self.model.w_mean.copy_(long_run_mean(self.generator.mapping, self.generator.z_dim, self.device))
        w_o = self.mean_latent.step(self.generator.mapping)
        paths, empty, blind = self._draw(count)
        mask = mask.masked_fill(empty[:, None, None, None], 1)
        with self._autocast():
            known = real * (1 - mask)
            pyramid = self.model.encoder.pyramid(torch.cat([known, real]), torch.cat([mask, 0 * mask]))
            rgb, found, structure = self.model.encoder.heads([level[:count] for level in pyramid])
            both = self.model.encoder.gaussian(pyramid)
            p, q = (Gaussian(*(part[half] for part in both)) for half in (slice(count), slice(count, None)))
            z = self._choose(paths, p, q)
            anchor = torch.where((paths == ANCHOR)[:, None], w_o, self.generator.mapping(z))
            offset = self.model.premodulation(found, structure)
            w_plus = (offset + anchor[:, None]).float()
            assert self.model.rgb_branch is not None
            features = self.model.rgb_branch(known, mask)
            for r in BLIND:
                hole = F.interpolate(mask, size=(r, r), mode="area") * blind[:, None, None, None]
                features[r] = features[r] * (1 - hole).to(features[r].dtype)
            image = self.generator.synthesis(w_plus, features).float()
            terms = self._losses(image, real, mask, paths, step)
            terms["recover"] = (guess.recover, self._recovered(image, real, mask, z, paths == DRAWN))
        weights = self.config.losses
        msr, _ = msr_loss([o.float() for o in rgb], real, self.features, weights)
        terms["msr"] = (weights.msr, msr)
        terms["fid"] = (weights.fid, fidelity_loss(w_plus - anchor[:, None], w_plus.new_zeros(1, w_plus.shape[-1])))
        terms |= self._divergences(p, q, mask, empty, seen)
        loss = torch.stack([weight * term for weight, term in terms.values()]).sum()
        for group in self.optimizers["model"].param_groups:
            group.setdefault("full_rate", group["rate"])
            group["rate"] = 0.0 if group["frozen"] and seen < guess.freeze else group["full_rate"]
        self._update("model", loss, step)
        self._average(count, step)
        return {"total": loss.detach()} | {name: term.detach() for name, (_, term) in terms.items()}

    def _draw(self, count: int) -> tuple[Tensor, Tensor, Tensor]:
        """Path of each picture, (N,); whether it is all hole, (N,) bool; whether its features are blind, (N,) float."""
        shares = torch.tensor(list(self.guess.paths.model_dump().values()))
        paths = torch.multinomial(shares, count, replacement=True).to(self.device)
        empty = torch.rand(count, device=self.device) < self.guess.all_hole
        # With nothing known, the mean fill would be an average of all photographs: z is drawn there.
        coins = torch.where(torch.rand(count, device=self.device) < 2 / 3, WHOLE, DRAWN)
        paths = torch.where(empty, coins, paths)
        blind = (torch.rand(count, device=self.device) < self.guess.blind).float()
        return paths, empty, blind

    def _choose(self, paths: Tensor, p: Gaussian, q: Gaussian) -> Tensor:
        """z of each picture's path, (N, z_dim)."""
        normal = torch.randn_like(p.mean)
        z = torch.where((paths == WHOLE)[:, None], q.at(normal), p.mean)
        return torch.where((paths == DRAWN)[:, None], p.at(normal), z)

    def _losses(self, image: Tensor, real: Tensor, mask: Tensor, paths: Tensor, step: int) -> Terms:
        """Of the picture and the composite: weight and value by name."""
        weights, lpips = self.config.losses, self.lpips
        assert lpips is not None
        filled = composite(self._match(image, real, mask), real, mask)
        compared = (paths != DRAWN).float()[:, None, None, None]
        difference = (image - real).abs() / 2  # of [0, 1], as the paper's weights have it
        wide = 2 * RIM + 1
        near = F.max_pool2d(F.max_pool2d(1 - mask, (wide, 1), 1, (RIM, 0)), (1, wide), 1, (0, RIM))
        side = weights.lpips_crop or real.shape[-1]
        pictures = windows(torch.cat([filled, real, mask], 1), mask, side)
        a, b, hole = (part.detach() if i else part for i, part in enumerate(pictures.split((3, 3, 1), 1)))
        # A small hole's picture would count next to nothing.
        share = hole.mean((1, 2, 3)).clamp(min=FEW) ** -self.guess.balance
        found = lpips.stages(self._place(a))
        with torch.no_grad():
            wanted = lpips.stages(self._place(b))
        terms: Terms = {
            "valid": (weights.valid, (difference * (1 - mask)).mean()),
            "hole": (
                weights.hole,
                (difference * mask * torch.maximum(compared, near)).mean((1, 2, 3)).mul(share).mean(),
            ),
            "lpips": (weights.lpips, (lpips.distance(found, wanted) * compared[:, 0, 0, 0] * share).mean()),
        }
        return terms | self._adversarial(found, wanted, hole, step)

    def _recovered(self, image: Tensor, real: Tensor, mask: Tensor, z: Tensor, drawn: Tensor) -> Tensor:
        """|E_z(O, 0) - z|, the mean over entries, of the fills of a z that was drawn."""
        if not drawn.any():
            return image.new_zeros(())
        filled = composite(image[drawn], real[drawn], mask[drawn])
        encoder = self.model.encoder
        learning = [parameter for parameter in encoder.parameters() if parameter.requires_grad]
        for parameter in learning:  # the fill is to show z, not the encoder to see it
            parameter.requires_grad_(False)
        seen = encoder.gaussian(encoder.pyramid(filled, torch.zeros_like(filled[:, :1]))).mean
        for parameter in learning:
            parameter.requires_grad_(True)
        return (seen - z[drawn].detach()).abs().mean() * drawn.float().mean()

    def _divergences(self, p: Gaussian, q: Gaussian, mask: Tensor, empty: Tensor, seen: int) -> Terms:
        """KL(q||p), for p as small as can be, for q as `GuessConfig.nats` has it; KL(p||N(0, 1)) for no picture.

        Free below a limit, q would end up saying nothing: it shares p's weights, and p is to follow. So what q says has
        a set amount (Burgess et al. 2018, "Understanding disentangling in beta-VAE"), in proportion to the hole.
        """
        guess = self.guess
        standard = Gaussian(torch.zeros_like(p.mean), torch.zeros_like(p.mean))
        follow, normal = q.detached.divergence(p).mean(), (p.divergence(standard) * empty).mean()
        told = q.divergence(p.detached).mean()
        ramp = min(1.0, seen / guess.ramp) if guess.ramp else 1.0
        return {
            # Where p is far off, at first, it would otherwise outweigh all else.
            "follow": (guess.follow * guess.nats / follow.detach().clamp(min=guess.nats), follow),
            "standard": (guess.follow * guess.nats / normal.detach().clamp(min=guess.nats), normal),
            "amount": (guess.amount * ramp, (told - guess.nats * mask.mean()).abs()),
        }


def windows(pictures: Tensor, mask: Tensor, side: int) -> Tensor:
    """A square of each picture in which a place of its hole lies.

    (N, C, s, s), mask (N, 1, s, s) -> (N, C, side, side).
    Not always the same places: LPIPS's networks look at every second to sixteenth pixel, and would be tuned to.
    """
    last = pictures.shape[-1] - side
    chosen = []
    for picture, hole in zip(pictures, mask[:, 0], strict=True):
        places = hole.nonzero()
        at = places[torch.randint(len(places), ())] if len(places) else torch.randint(len(hole), (2,))
        top, left = (int((p - torch.randint(side, ())).clamp(0, last)) for p in at)
        chosen.append(picture[:, top : top + side, left : left + side])
    return torch.stack(chosen)
