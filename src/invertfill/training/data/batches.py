"""Training batches as a function of (seed, step): the order, the flips, the augmentation and the masks.

Nothing here has a state, so a run resumes with the very batch that it would have had, and the processes of one run,
each taking its rows of the global batch, see together what one process would.
"""

from __future__ import annotations

from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import torch
from torch import Tensor

from invertfill.masks.sampler import check_kind, sample_mask
from invertfill.training.config import DataConfig, MaskConfig
from invertfill.training.data.augmentation import augment
from invertfill.training.data.readers import ImageSet

ORDER, CHANGE, MASK, POOL, EXAMPLE, COPY = range(6)  # separate streams of random numbers from one seed


@dataclass(frozen=True)
class Batch:
    """Part of a training batch.

    Attributes:
        images: (N, 3, s, s) float32 in [-1, 1].
        masks: (N, 1, s, s) float32, 1 = hole; None in stage 1.
        indices: (N,) int64, the pictures' places in the set.
        mirrored: (N,) bool, which of them are.
    """

    images: Tensor
    masks: Tensor | None
    indices: Tensor
    mirrored: Tensor


class Batches:
    """Batches of a run.

    Args:
        images: the set; its decoded pixels, if it has them and nothing has to be changed on the fly, move to `device`.
        data: flips, augmentation, threads.
        masks: None for stage 1.
        batch: pictures a step over all processes.
        seed: of the run.
        device: where batches are wanted.
        rank, world: this process's part of every batch.
    """

    def __init__(
        self,
        images: ImageSet,
        data: DataConfig,
        masks: MaskConfig | None,
        *,
        batch: int,
        seed: int,
        device: torch.device,
        rank: int = 0,
        world: int = 1,
    ) -> None:
        if batch % world:
            raise ValueError(f"a batch of {batch} can't be shared by {world} processes")
        self.images, self.data, self.masks = images, data, masks
        self.batch, self.seed, self.device = batch, seed, device
        self.rows = range(rank * batch // world, (rank + 1) * batch // world)
        self._threads = ThreadPoolExecutor(data.workers)
        self._ahead = ThreadPoolExecutor(1)
        self._next: tuple[int, Future[tuple[Tensor, Tensor | None]]] | None = None
        self._resident: Tensor | None = None
        if images.pixels is not None and (data.augmentation.copies or not data.augmentation.probability):
            sets = [images.pixels, *(self._copy(images.pixels, number) for number in range(data.augmentation.copies))]
            self._resident = torch.cat([torch.from_numpy(pixels).to(device) for pixels in sets])
        if masks:
            check_kind(masks.kind, masks.outlines)  # reads the outlines once, before the threads ask for them
        self._pool: np.ndarray | None = None
        if masks and masks.pool:
            draws = (np.random.default_rng((seed, POOL, i)) for i in range(masks.pool))
            self._pool = np.stack(list(self._threads.map(self._draw, draws)))

    def __call__(self, step: int) -> Batch:
        """This process's part of the batch of a step (from 0); the next step's is prepared meanwhile."""
        ahead = self._next[1] if self._next and self._next[0] == step else self._ahead.submit(self._prepare, step)
        pixels, masks = ahead.result()
        self._next = (step + 1, self._ahead.submit(self._prepare, step + 1))
        images = pixels.to(self.device, non_blocking=True).permute(0, 3, 1, 2).float().div_(127.5).sub_(1)
        flips = torch.from_numpy(self._flips(step)).to(self.device)
        images = torch.where(flips[:, None, None, None], images.flip(-1), images)
        masks = None if masks is None else masks.to(self.device, non_blocking=True).float()
        indices = self.indices(step) % len(self.images)
        return Batch(images, masks, torch.from_numpy(indices).to(self.device), flips)

    def examples(self, count: int) -> Batch:
        """The set's first pictures, as they are, with masks of their own; the same in every process."""
        indices = np.arange(min(count, len(self.images)))
        pixels = torch.from_numpy(self.images.batch(indices))
        images = pixels.to(self.device).permute(0, 3, 1, 2).float().div_(127.5).sub_(1)
        masks = None
        if self.masks is not None:
            drawn = [self._draw(np.random.default_rng((self.seed, EXAMPLE, i))) for i in range(len(indices))]
            masks = torch.from_numpy(np.stack(drawn)[:, None]).to(self.device).float()
        return Batch(images, masks, torch.from_numpy(indices).to(self.device), torch.zeros(len(indices)).bool())

    def indices(self, step: int) -> np.ndarray:
        """Numbers of this process's pictures: the set in a new order for every epoch, without a gap between.

        Copies of a picture have its number plus a multiple of the set's length.
        """
        position = step * self.batch + np.array(self.rows)
        count = len(self.images) * (1 + self.data.augmentation.copies)
        epochs, places = np.divmod(position, count)
        return np.array([_order(self.seed, int(e), count)[p] for e, p in zip(epochs, places, strict=True)])

    def _prepare(self, step: int) -> tuple[Tensor, Tensor | None]:
        indices = self.indices(step)
        if self._resident is not None:
            pixels = self._resident[torch.from_numpy(indices).to(self.device)]
        else:
            pixels = torch.from_numpy(self._changed(self.images.batch(indices), step))
        return pixels, self._masks(step)

    def _changed(self, pixels: np.ndarray, step: int) -> np.ndarray:
        if not self.data.augmentation.probability:
            return pixels
        return self._augmented(pixels, [np.random.default_rng((self.seed, CHANGE, step, row)) for row in self.rows])

    def _copy(self, pixels: np.ndarray, number: int) -> np.ndarray:
        """The whole set, augmented: a copy of its own for each number."""
        return self._augmented(
            pixels, [np.random.default_rng((self.seed, COPY, number, i)) for i in range(len(pixels))]
        )

    def _augmented(self, pixels: np.ndarray, draws: list[np.random.Generator]) -> np.ndarray:
        return np.stack(list(self._threads.map(lambda p, rng: augment(p, self.data.augmentation, rng), pixels, draws)))

    def _flips(self, step: int) -> np.ndarray:
        coins = np.random.default_rng((self.seed, CHANGE, step)).random(self.batch) < 0.5
        return coins[self.rows.start : self.rows.stop] & self.data.flip

    def _draw(self, rng: np.random.Generator) -> np.ndarray:
        masks = self.masks
        assert masks is not None
        return sample_mask(self.images.size, masks.kind, masks.low, masks.high, rng, masks.outlines)

    def _masks(self, step: int) -> Tensor | None:
        if self.masks is None:
            return None
        draws = [np.random.default_rng((self.seed, MASK, step, row)) for row in self.rows]
        if self._pool is not None:
            # Mirrored at random, a pool serves four times as long.
            chosen = [self._pool[rng.integers(len(self._pool))][:: _sign(rng), :: _sign(rng)] for rng in draws]
        else:
            chosen = list(self._threads.map(self._draw, draws))
        return torch.from_numpy(np.stack(chosen)[:, None])

    def close(self) -> None:
        """Stop the threads."""
        self._ahead.shutdown(cancel_futures=True)
        self._threads.shutdown(cancel_futures=True)


def _sign(rng: np.random.Generator) -> int:
    return 1 if rng.random() < 0.5 else -1


@lru_cache(maxsize=4)
def _order(seed: int, epoch: int, count: int) -> np.ndarray:
    return np.random.default_rng((seed, ORDER, epoch)).permutation(count)
