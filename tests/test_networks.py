"""The methods that are trained here: what all of them promise, and what each paper's own formula gives by hand."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import get_args

import numpy as np
import pytest
from conftest import Result, assert_one_line, pixels
from PIL import Image

torch = pytest.importorskip("torch")
pytest.importorskip("accelerate")
import torch.nn.functional as F  # noqa: E402
from safetensors.torch import save_file  # noqa: E402
from training_runs import ROOT, batch_of, draw_pictures  # noqa: E402

from invertfill.baselines import find_baseline  # noqa: E402
from invertfill.baselines.boundless import MEANINGS, ConditionalCritic  # noqa: E402
from invertfill.baselines.crfill import CELL, reconstruct  # noqa: E402
from invertfill.baselines.ctsdg import GatedFusion, edges  # noqa: E402
from invertfill.baselines.gated import GatedConv  # noqa: E402
from invertfill.baselines.gc import ContextualAttention, propagate  # noqa: E402
from invertfill.baselines.medfe import smooth, spread_by_place, spread_by_value  # noqa: E402
from invertfill.baselines.network import Network, NetworkConfig, Trained  # noqa: E402
from invertfill.baselines.networks import AnyNetworkConfig  # noqa: E402
from invertfill.baselines.ns_outpaint import ContentTransfer  # noqa: E402
from invertfill.baselines.partial import PartialConv  # noqa: E402
from invertfill.baselines.rfr import KnowledgeConsistentAttention, merge  # noqa: E402
from invertfill.training.baseline import BaselineTask  # noqa: E402
from invertfill.training.config import BaselineConfig, load_config  # noqa: E402

SCHEMAS: dict[str, type[NetworkConfig]] = {
    schema.model_fields["kind"].default: schema for schema in get_args(get_args(AnyNetworkConfig)[0])
}
SIZE = 32
TINY = {"size": SIZE, "width": 0.1}
LR, STEPS = 0.003, 40  # by which one batch is learned by heart
SLOWER = {"medfe": (0.001, 60)}  # its bilateral propagation is of the third power of its features
LEARNS_ITS_OWN = {"score-sde"}  # and no fill: its test is in its own file
LESS = {"rfr": {"recurrences": 2}, "medfe": {"size": 64}}


@pytest.fixture(params=SCHEMAS)
def config(request: pytest.FixtureRequest) -> NetworkConfig:
    return SCHEMAS[request.param].model_validate(TINY | LESS.get(request.param, {}))


@pytest.fixture
def network(config: NetworkConfig) -> Network:
    torch.manual_seed(0)
    return config.build()


def task_of(config: NetworkConfig, need_weights: Callable[..., None], lr: float = 1e-4) -> BaselineTask:
    """With VGG16's weights, or the test is skipped, where the losses see through them."""
    if config.build().sees:
        need_weights("vgg16-features")
    given = {"name": "x", "out": "x", "steps": 1, "batch": 2, "data": {"path": "x"}, "network": config.model_dump()}
    torch.manual_seed(0)
    optimizer = {"lr": lr, "beta1": 0.5, "clip": 1.0}
    return BaselineTask(BaselineConfig.model_validate({**given, "optimizer": optimizer}), "cpu")


def pictures(size: int = SIZE, count: int = 2) -> tuple[torch.Tensor, torch.Tensor]:
    """Smooth colours in [-1, 1], and a box in a corner of each, opposite ones in turn, so that what is carried in any
    direction meets one."""
    generator = torch.Generator().manual_seed(1)
    coarse = torch.rand(count, 3, 4, 4, generator=generator) * 2 - 1
    mask = torch.zeros(count, 1, size, size)
    mask[:, :, : size // 3, : size // 2 - 2] = 1
    mask[1::2] = mask[1::2].flip(2, 3)
    return F.interpolate(coarse, size=(size, size), mode="bilinear"), mask


# What all of them promise


def test_a_fill_has_the_pictures_shape(config: NetworkConfig, network: Network) -> None:
    real, mask = pictures(config.size)
    for hole in (mask, torch.ones_like(mask), torch.zeros_like(mask)):
        fill = network.eval()(real * (1 - hole), hole)
        assert fill.shape == real.shape and fill.isfinite().all()
    assert config.channels(64) < 64 and type(config)().channels(64) == 64


def test_gradients_reach_every_parameter(config: NetworkConfig, need_weights: Callable[..., None]) -> None:
    task = task_of(config, need_weights)
    real, mask = pictures(config.size)
    reached: dict[str, set[str]] = {name: set() for name in task.modules}
    for step in range(3):  # what is zero at first hides what lies before it
        task.train_step(batch_of(real, mask), step)
        for kind, module in task.modules.items():
            # At a hinge's start, what real and false pictures say of a critic's last bias cancels out.
            reached[kind] |= {
                n for n, p in module.named_parameters() if p.grad is not None and (kind == "critic" or p.grad.any())
            }
    for kind, module in task.modules.items():
        assert {name for name, _ in module.named_parameters()} == reached[kind]


def test_one_batch_is_learned_by_heart(config: NetworkConfig, need_weights: Callable[..., None]) -> None:
    if config.kind in LEARNS_ITS_OWN:
        pytest.skip(f"{config.kind} learns no fill; see its own tests")
    # At full weight a critic is at odds with one batch: it soon knows every picture.
    calm = config.model_copy(update={"adversarial": 0.02}) if hasattr(config, "adversarial") else config
    lr, steps = SLOWER.get(config.kind, (LR, STEPS))
    task = task_of(calm, need_weights, lr=lr)
    real, mask = pictures(config.size)

    def error() -> float:
        with torch.no_grad():
            return float((task.network(real * (1 - mask), mask) - real).abs().mean())

    before = error()
    for step in range(steps):
        losses = task.train_step(batch_of(real, mask), step)
    assert all(value.isfinite() for value in losses.values())
    assert error() < 0.6 * before


def test_counts_are_those_that_are_listed(config: NetworkConfig) -> None:
    with torch.device("meta"):
        count = sum(p.numel() for p in type(config)().build().parameters())
    stated = re.match(r"([\d.]+) M parameters", find_baseline(config.kind).differs)
    assert stated and f"{count / 1e6:.2f}" == stated[1]


def stored(network: Network, path: Path) -> Path:
    """As `invertfill export` stores it, but in full precision."""
    metadata = {"config": network.config.model_dump_json()}
    save_file({name: tensor.contiguous() for name, tensor in network.state_dict().items()}, path, metadata)
    return path


def test_a_fill_does_not_see_the_hole(config: NetworkConfig, network: Network, tmp_path: Path) -> None:
    path = stored(network, tmp_path / "weights.safetensors")
    method = Trained(type(config), str(path), "cpu")
    rng = np.random.default_rng(0)
    size = config.size
    image, other = rng.integers(0, 256, (2, size, size, 3)).astype(np.uint8)
    hole = np.zeros((size, size), bool)
    hole[4:20, 6:30] = True
    drawn = method.fill(image, hole)
    assert drawn.shape == image.shape and drawn.dtype == np.uint8
    np.testing.assert_array_equal(method.fill(np.where(hole[..., None], other, image), hole), drawn)
    assert (method.fill(np.where(hole[..., None], image, other), hole)[hole] != drawn[hole]).any()
    assert method.size == size and "SHA-256" in method.identity


def test_configurations_are_of_the_papers_widths(config: NetworkConfig) -> None:
    found = load_config(BaselineConfig, ROOT / "configs" / "baselines" / f"{config.kind}.yaml")
    assert (found.network.kind, found.network.width, found.time_budget) == (config.kind, 1, 10)


# The commands


@pytest.mark.slow
def test_trained_exported_and_evaluated(run: Callable[..., Result], tmp_path: Path, monkeypatch) -> None:
    monkeypatch.setenv("INVERTFILL_WEIGHTS", str(tmp_path / "none"))
    data = draw_pictures(tmp_path / "pictures", 4)
    short = ["batch=2", "log_every=1", "masks.pool=4", "data.workers=1", "checkpoint_every=1", "sample_count=2"]
    tiny = ["network.size=32", "network.width=0.1", f"data.path={data}", f"out={tmp_path / 'run'}"]
    train = ("train", "baseline", ROOT / "configs" / "baselines" / "gc.yaml", *tiny, *short)
    assert run(*train, "steps=2").status == 0
    assert run(*train, "steps=3").status == 0  # goes on
    log = [json.loads(line) for line in (tmp_path / "run" / "log.jsonl").read_text().splitlines()]
    assert [line["step"] for line in log if "event" not in line] == [1, 2, 3]
    assert run("export", tmp_path / "run", "-o", tmp_path / "model").status == 0
    assert_one_line(run("export", tmp_path / "run", "-o", tmp_path / "model", "--early"), "--early")
    assert (tmp_path / "model" / "MODEL_CARD.md").is_file()
    pairs = ("--images", data, "--size", SIZE, "--coverage", "hard", "--pairs", tmp_path / "pairs")
    report = ("--method", f"gc:weights={tmp_path / 'model'}", "-o", tmp_path / "report")
    assert run("evaluate", *pairs, *report).status == 0
    for name in ("00.png", "03.png"):
        composite = pixels(tmp_path / "report" / "composites" / "hard" / "gc" / name)
        known = pixels(tmp_path / "pairs" / "hard" / "masks" / name) == 0
        original = pixels(data / name)
        np.testing.assert_array_equal(composite[known], original[known])
        assert (composite[~known] != original[~known]).any()


@pytest.mark.parametrize("wrong", ["nothing", "nowhere", "another", "text", "cut", "thinner", "no baseline"])
def test_weights_that_are_not_the_methods(
    run: Callable[..., Result], tmp_path: Path, tiny_model_folder: Path, wrong: str
) -> None:
    file = stored(
        SCHEMAS["rfr" if wrong == "another" else "gc"].model_validate(TINY).build(), tmp_path / "x.safetensors"
    )
    if wrong == "text":
        file.write_text("weights")
    elif wrong == "cut":
        file.write_bytes(file.read_bytes()[:-100])
    elif wrong == "thinner":
        file.write_bytes(file.read_bytes().replace(b'\\"width\\":0.1', b'\\"width\\":0.9'))
    given = {"nothing": "", "nowhere": ":weights=nowhere", "no baseline": f":weights={tiny_model_folder}"}
    Image.new("RGB", (SIZE, SIZE)).save(tmp_path / "a.png")
    method = f"gc{given.get(wrong, f':weights={file}')}"
    command = ("evaluate", "--images", tmp_path, "--size", SIZE, "--coverage", "hard", "-o", tmp_path / "report")
    assert_one_line(run(*command, "--method", method), "gc: ", "configs/baselines/gc.yaml")
    assert not (tmp_path / "report").exists()


# Formulas of the papers, and the plain fill beside them


def test_mean_fill() -> None:
    image = np.random.default_rng(0).integers(0, 256, (5, 6, 3)).astype(np.uint8)
    hole = np.zeros((5, 6), bool)
    hole[1:4, 2:] = True
    method = find_baseline("mean").load()
    drawn = method.fill(image, hole)
    assert drawn.shape == image.shape and (drawn == image[~hole].mean(0).round()).all()
    assert (method.fill(image, np.ones_like(hole)) == 128).all()


def test_gated_convolution_by_hand() -> None:
    torch.manual_seed(0)
    layer, x = GatedConv(2, 3, 3, stride=2), torch.randn(1, 2, 5, 5)
    found = layer(x).detach().numpy()[0]
    weight, bias = (p.detach().numpy() for p in (layer.conv.weight, layer.conv.bias))
    padded = np.pad(x.numpy()[0], ((0, 0), (1, 1), (1, 1)))
    for channel, row, column in np.ndindex(found.shape):
        window = padded[:, 2 * row : 2 * row + 3, 2 * column : 2 * column + 3]
        feature, gate = ((window * weight[k]).sum() + bias[k] for k in (channel, channel + 3))
        expected = (feature if feature > 0 else np.expm1(feature)) / (1 + np.exp(-gate))
        assert found[channel, row, column] == pytest.approx(expected, abs=1e-5)


def test_attention_copies_the_known_patch_that_looks_alike() -> None:
    """The hole's features are those of one known place: what is rebuilt there is that place's surroundings."""
    torch.manual_seed(0)
    x = torch.randn(1, 8, 16, 16)
    x[..., 10:14, 10:14] = x[..., 2:6, 2:6]
    mask = torch.zeros(1, 1, 16, 16)
    mask[..., 10:14, 10:14] = 1
    rebuilt = ContextualAttention()(x, mask)
    assert rebuilt.shape == x.shape
    near = (rebuilt[..., 11:13, 11:13] - x[..., 3:5, 3:5]).abs().mean()
    assert near < 0.6 * (rebuilt[..., 11:13, 11:13] - x[..., 7:9, 3:5]).abs().mean()
    everything = ContextualAttention()(x, torch.ones_like(mask))  # nothing to copy from
    assert everything.isfinite().all() and not everything.any()


def test_scores_are_propagated_by_hand() -> None:
    height, width = 3, 4
    scores = np.random.default_rng(0).normal(size=(height, width, height, width))
    expected = np.zeros_like(scores)
    for a, b, c, d in np.ndindex(scores.shape):
        for i in (-1, 0, 1):
            for j in (-1, 0, 1):
                places = (a + i, b + j, c + i, d + j)
                if all(0 <= p < n for p, n in zip(places, scores.shape, strict=True)):
                    expected[a, b, c, d] += scores[places]
    found = propagate(torch.from_numpy(scores.reshape(1, 12, 12)), height, width)
    np.testing.assert_allclose(found.numpy().reshape(scores.shape), expected, atol=1e-12)


def test_contextual_reconstruction_by_hand() -> None:
    """Missing patches are means of the known ones, by the softmax of scaled dot products; known ones stay."""
    rng, side = np.random.default_rng(0), 3
    likeness, features = rng.normal(size=(2, 1, 4, side * CELL, side * CELL))
    mask = np.zeros((1, 1, side * 8, side * 8))
    mask[..., 8:12, 4:20] = 1  # a pixel is enough: the middle row is missing
    cells = [
        (slice(None), slice(r * CELL, r * CELL + CELL), slice(c * CELL, c * CELL + CELL)) for r, c in np.ndindex(3, 3)
    ]
    vectors = np.stack([likeness[0][cell].mean((1, 2)) for cell in cells])
    known, expected = [0, 1, 2, 6, 7, 8], features[0].copy()
    for place in (3, 4, 5):
        weights = np.exp(vectors[known] @ vectors[place] / 2)
        copies = [features[0][cells[source]] for source in known]
        expected[cells[place]] = np.tensordot(weights / weights.sum(), np.stack(copies), 1)
    found = reconstruct(*(torch.from_numpy(part) for part in (likeness, features, mask)))
    np.testing.assert_allclose(found[0].numpy(), expected, atol=1e-9)
    nothing = reconstruct(*(torch.from_numpy(part) for part in (likeness, features, np.ones_like(mask))))
    assert not nothing.any()


def test_a_critic_is_told_what_a_picture_shows() -> None:
    """By projection: the logit is linear in it."""
    torch.manual_seed(0)
    critic, (real, mask) = ConditionalCritic(4).eval(), pictures()
    a, b = F.normalize(torch.randn(2, 2, MEANINGS), dim=2)
    plain = critic(real, mask, torch.zeros_like(a))
    shift = critic(real, mask, a) - plain
    assert shift.abs().max() > 0
    torch.testing.assert_close(critic(real, mask, 2 * a + b) - plain, 2 * shift + critic(real, mask, b) - plain)


def test_partial_convolution_by_hand() -> None:
    torch.manual_seed(0)
    layer, x = PartialConv(2, 3, 3, stride=2), torch.randn(1, 2, 6, 6)
    torch.nn.init.normal_(layer.bias)
    known = torch.zeros(1, 1, 6, 6)
    known[..., :3, :4] = 1
    found, there = (part.detach().numpy()[0] for part in layer(x, known))
    padded = np.pad((x * known).numpy()[0], ((0, 0), (1, 1), (1, 1)))
    counted = np.pad(known.numpy()[0, 0], 1)
    for channel, row, column in np.ndindex(found.shape):
        window = (slice(2 * row, 2 * row + 3), slice(2 * column, 2 * column + 3))
        count = counted[window].sum()
        assert there[0, row, column] == (count > 0)
        value = (padded[:, *window] * layer.conv.weight[channel].detach().numpy()).sum() * 9 / max(count, 1)
        expected = value + layer.bias.data[channel].item() if count else 0
        assert found[channel, row, column] == pytest.approx(expected, abs=1e-5)


def test_knowledge_consistent_attention_by_hand() -> None:
    """Scores remember the recurrence before where that knew the place, in the share lambda."""
    torch.manual_seed(0)
    layer, x = KnowledgeConsistentAttention(3), torch.randn(1, 3, 2, 3)
    vectors = x.numpy()[0].reshape(3, 6).T
    units = vectors / np.linalg.norm(vectors, axis=1, keepdims=True)
    similar = units @ units.T
    smooth = np.zeros_like(similar)
    for row, column in np.ndindex(2, 3):
        near = [3 * v + u for v in range(2) for u in range(3) if abs(v - row) <= 1 and abs(u - column) <= 1]
        smooth[:, 3 * row + column] = similar[:, near].mean(1)
    scores = np.exp(smooth) / np.exp(smooth).sum(0)
    known = torch.tensor([1.0, 0, 1, 0, 0, 1]).view(1, 1, 2, 3)
    _, first = layer(x, known, None)
    np.testing.assert_allclose(first[0][0].detach().numpy(), scores, atol=1e-6)

    before = torch.rand(1, 6, 6).softmax(1)
    layer.share.data.fill_(0.3)
    out, (found, _) = layer(x, torch.ones(1, 1, 2, 3), (before, known.flatten(2)))
    there = known.numpy().reshape(6) > 0
    expected = np.where(there, 0.3 * scores + 0.7 * before.numpy()[0], scores)
    np.testing.assert_allclose(found[0].detach().numpy(), expected, atol=1e-6)
    rebuilt = (vectors.T @ expected).reshape(3, 2, 3)
    combined = layer.combine(torch.cat([torch.from_numpy(rebuilt).float()[None], x], 1))
    torch.testing.assert_close(out, combined, atol=1e-5, rtol=1e-5)


def test_recurrences_are_merged_where_they_know() -> None:
    features = [torch.full((1, 1, 1, 3), value) for value in (1.0, 3.0, 8.0)]
    areas = [torch.tensor(area).view(1, 1, 1, 3) for area in ([1.0, 0, 0], [1.0, 1, 0], [1.0, 1, 0])]
    assert merge(features, areas).flatten().tolist() == [4.0, 5.5, 0.0]


def test_gated_fusion_by_hand() -> None:
    torch.manual_seed(0)
    layer = GatedFusion(2)
    texture, structure = torch.randn(2, 1, 2, 3, 3)
    plain = layer(texture, structure)
    layer.alpha.data.fill_(0.5)
    layer.beta.data.fill_(-2.0)
    both = torch.cat([texture, structure], 1)
    gates = [1 / (1 + np.exp(-gate(both).detach().numpy())) for gate in (layer.texture_gate, layer.structure_gate)]
    a, b = texture.numpy() + 0.5 * gates[0] * structure.numpy(), structure.numpy() - 2 * gates[1] * texture.numpy()
    merged = np.einsum("oc,ncyx->noyx", layer.merge.weight.detach().numpy()[..., 0, 0], np.concatenate([a, b], 1))
    merged += layer.merge.bias.detach().numpy()[:, None, None]
    found = layer(texture, structure)
    np.testing.assert_allclose(found.detach().numpy(), np.where(merged > 0, merged, 0.2 * merged), atol=1e-6)
    assert not torch.allclose(found, plain)  # it begins without an exchange


def test_edges_are_where_luma_steps() -> None:
    picture = torch.full((1, 3, 16, 16), -0.5)
    picture[..., 8:] = 0.5
    known = torch.ones(1, 1, 16, 16)
    found = edges(picture, known)[0, 0]
    assert found[:, 7:9].all() and not found[:, :5].any() and not found[:, 11:].any()
    known[..., 6:, :] = 0  # neither in the hole nor along its border
    found = edges(picture * known, known)[0, 0]
    assert found[:4, 7:9].all() and not found[4:].any()


def test_bilateral_propagation_by_hand() -> None:
    rng, sigma = np.random.default_rng(0), 1.5
    x = rng.normal(size=(3, 4, 5))
    by_place, by_value = np.zeros_like(x), np.zeros_like(x)
    for row, column in np.ndindex(4, 5):
        total = 0.0
        for v, u in np.ndindex(4, 5):
            weight = np.exp(-((v - row) ** 2 + (u - column) ** 2) / (2 * sigma**2))
            by_place[:, row, column] += weight * x[:, v, u]
            total += weight
            if abs(v - row) <= 1 and abs(u - column) <= 1:
                by_value[:, row, column] += (x[:, v, u] @ x[:, row, column] / 3) * x[:, v, u] / 9
        by_place[:, row, column] /= total
    given = torch.from_numpy(x[None])
    np.testing.assert_allclose(spread_by_place(given, sigma)[0].numpy(), by_place, atol=1e-9)
    np.testing.assert_allclose(spread_by_value(given)[0].numpy(), by_value, atol=1e-9)


def test_structures_keep_edges_and_lose_texture() -> None:
    torch.manual_seed(0)
    picture = torch.full((1, 3, 32, 32), -0.6)
    picture[..., 16:] = 0.6
    noisy = picture + 0.1 * torch.randn_like(picture)
    found = smooth(noisy)
    flat = (slice(None), slice(None), slice(None), slice(0, 8))
    assert found[flat].std() < 0.4 * noisy[flat].std()
    assert found[..., 17].mean() - found[..., 14].mean() > 0.9 * 1.2


def test_recurrent_content_transfer_by_hand() -> None:
    """Columns go into an LSTM's cell one after the other, in both directions; known places stay."""
    torch.manual_seed(0)
    layer, side = ContentTransfer(16, 3), 3
    x, hole = torch.randn(2, 16, side, side), torch.zeros(2, 1, side, side)
    hole[:, :, 1:, 2] = 1
    small = torch.randn(2, layer.inner, side, side)

    def sigmoid(value: np.ndarray) -> np.ndarray:
        return 1 / (1 + np.exp(-value))

    weights = {name: p.detach().numpy() for name, p in layer.columns.named_parameters()}
    expected = np.zeros((2, 2 * layer.inner, side, side))
    for direction, (end, order) in enumerate((("", range(side)), ("_reverse", range(side)[::-1]))):
        state = memory = np.zeros((2, layer.inner * side))
        for column in order:
            given = small[..., column].numpy().reshape(2, -1)
            gates = given @ weights[f"weight_ih_l0{end}"].T + weights[f"bias_ih_l0{end}"]
            gates = gates + state @ weights[f"weight_hh_l0{end}"].T + weights[f"bias_hh_l0{end}"]
            write, forget, value, read = np.split(gates, 4, 1)
            memory = sigmoid(forget) * memory + sigmoid(write) * np.tanh(value)
            state = sigmoid(read) * np.tanh(memory)
            part = slice(direction * layer.inner, (direction + 1) * layer.inner)
            expected[:, part, :, column] = state.reshape(2, layer.inner, side)
    np.testing.assert_allclose(layer.carried(layer.columns, small).detach().numpy(), expected, atol=1e-6)

    out, there = layer(x, hole), hole.expand_as(x) == 0
    assert torch.equal(out[there], x[there]) and not torch.equal(out, x)
    assert torch.equal(layer(torch.where(there, x, 9 * x), hole), out)  # what is missing isn't read
