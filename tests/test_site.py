"""The page as static files: what fills in a real browser, with no server of ours, is what Python fills."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from browsing import INSECURE, download, fill, shoot, stroke
from conftest import ROOT, Result, assert_one_line, environment, pixels
from PIL import Image

import invertfill
from invertfill.browser.build import GENERAL, build_site
from invertfill.browser.runtime import RUNTIME, fetch_runtime
from invertfill.errors import InputError
from invertfill.registry import sha256_of

pytestmark = pytest.mark.slow

EXAMPLES = ROOT / "examples"
NAMES = ("landscape-sunset", "portrait-astronaut", "landscape-aitzgorri", "portrait-drawn", "portrait-hopper")
# How many times as large as its file a picture is filled, the kind of mask, and the picture: 20; a few are
# enough to see that a change is safe.
PICTURES = list(product((1, 3), ("freeform", "box"), NAMES))
COUNT = int(os.environ.get("INVERTFILL_SITE_PICTURES", "3"))
BELOW = "some/where"  # of the server's root
EXPECTED = "Content Security Policy"  # what the browser says where a test asks for what is refused
PATIENCE = 900_000  # ms: on an idle machine seconds are enough


@pytest.fixture(scope="session")
def runtime(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder that INVERTFILL_RUNTIME names, or one that npm and pip fill."""
    if given := os.environ.get("INVERTFILL_RUNTIME"):
        return Path(given)
    folder = tmp_path_factory.mktemp("runtime")
    try:
        fetch_runtime(folder)
    except InputError as error:
        pytest.skip(f"needs what the site runs on: {error}")
    return folder


@pytest.fixture(scope="module")
def site(runtime: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("server")
    (root / BELOW).parent.mkdir(parents=True)
    return build_site(root / BELOW, runtime).folder


@contextmanager
def handing_out(folder: Path) -> Iterator[int]:
    """Python's own web server; its port."""
    command = [sys.executable, "-u", "-m", "http.server", "0", "--bind", "127.0.0.1", "--directory", str(folder)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True) as server:
        try:
            assert server.stdout
            yield int(server.stdout.readline().split("port ")[1].split()[0])
        finally:
            server.kill()


@pytest.fixture(scope="module")
def port(site: Path) -> Iterator[int]:
    with handing_out(site.parents[BELOW.count("/")]) as port:
        yield port


@pytest.fixture(scope="module")
def visit(browser: Any, port: int) -> Iterator[Callable[..., Any]]:
    """Open the page. Anything that it asks of another host, or says on the console, fails the tests."""
    contexts, trouble = [], []

    def visit(host: str = "127.0.0.1") -> Any:
        address = f"http://{host}:{port}/{BELOW}/"
        contexts.append(browser.new_context(viewport={"width": 1000, "height": 720}))
        own = (address, f"blob:http://{host}:{port}/", "data:")
        contexts[-1].on("request", lambda request: request.url.startswith(own) or trouble.append(request.url))
        page = contexts[-1].new_page()
        page.set_default_timeout(PATIENCE)
        page.on("pageerror", lambda error: trouble.append(str(error)))
        page.on(
            "console", lambda said: said.type == "error" and EXPECTED not in said.text and trouble.append(said.text)
        )
        page.goto(address)
        page.locator("#model option").first.wait_for(state="attached")
        return page

    yield visit
    for context in contexts:
        context.close()
    assert not trouble


@pytest.fixture(scope="module")
def page(visit: Callable[..., Any]) -> Any:
    """One for all tests, as Python takes seconds to start."""
    return visit()


def open_photo(page: Any, picture: Path) -> None:
    """In the place of another, which may have the same name."""
    before = page.locator("#photo").element_handle()
    page.locator("#file").set_input_files(picture)
    if page.locator("#sure[open]").count():
        page.locator("#sure [value=leave]").click()
    page.wait_for_function("before => before.id !== 'photo'", arg=before)


def fill_file(page: Any, picture: Path, mask: Path, to: Path) -> Path:
    open_photo(page, picture)
    page.locator("#mask").set_input_files(mask)
    page.locator("#go:enabled").wait_for()
    fill(page)
    return download(page, to)


def example(name: str, kind: str, times: int, folder: Path) -> tuple[Path, Path]:
    """Picture and mask of a case."""
    picture, mask = Image.open(EXAMPLES / f"{name}.png"), Image.open(EXAMPLES / f"masks/{name}-{kind}.png")
    size = picture.width * times, picture.height * times
    picture.resize(size, Image.Resampling.BICUBIC).save(folder / f"{name}.png")
    mask.convert("L").resize(size, Image.Resampling.NEAREST).save(folder / "mask.png")
    return folder / f"{name}.png", folder / "mask.png"


def assert_alike(filled: Path, expected: np.ndarray, picture: Path, mask: Path) -> None:
    """To Python's fill, within rounding."""
    got, given, hole = pixels(filled), pixels(picture), pixels(mask) > 127
    assert got.shape == expected.shape == given.shape
    np.testing.assert_array_equal(got[~hole], given[~hole])
    assert (got[hole] != given[hole]).any(-1).mean() > 0.5
    off = np.abs(got.astype(int) - expected)
    assert off.max() <= 2 and off[hole].mean() <= 0.2


@pytest.fixture(scope="module")
def inpainter() -> invertfill.Inpainter:
    return invertfill.load(GENERAL)


def test_says_what_it_downloads_before_it_does(page: Any, site: Path) -> None:
    shoot(page, "site-start")
    told = json.loads((site / "site.json").read_text())
    first = sum(told["files"][path]["bytes"] for path in told["models"][0]["files"])
    page.locator("#cost", has_text=f"{round(first / 1e6)} MB").wait_for()
    assert page.evaluate("crossOriginIsolated") and page.evaluate("caches.has('invertfill-files')")
    assert (
        page.evaluate("caches.open('invertfill-files').then((cache) => cache.keys()).then((keys) => keys.length)") == 0
    )


@pytest.mark.parametrize("times, kind, name", PICTURES[:: len(PICTURES) // COUNT][:COUNT])
def test_fills_as_python_does(
    page: Any, inpainter: invertfill.Inpainter, tmp_path: Path, name: str, kind: str, times: int
) -> None:
    picture, mask = example(name, kind, times, tmp_path)
    filled = fill_file(page, picture, mask, tmp_path)
    shoot(page, f"site-{name}-{kind}-{times}")
    assert_alike(filled, np.asarray(inpainter.fill(picture, mask)), picture, mask)
    assert page.locator("#cost").inner_text() == ""


def test_a_large_hole_fits_into_32_bits(page: Any, inpainter: invertfill.Inpainter, tmp_path: Path) -> None:
    """Python has them in a browser. The photo has grain, so all steps of a fill take part."""
    photo = Image.open(EXAMPLES / "landscape-aitzgorri.png").convert("RGB").resize((1600, 1400))
    grain = np.random.default_rng(0).normal(0, 6, (1400, 1600, 3))
    Image.fromarray((np.asarray(photo) + grain).clip(0, 255).astype(np.uint8)).save(tmp_path / "grain.png")
    hole = np.zeros((1400, 1600), np.uint8)
    hole[300:1100, 400:1200] = 255
    Image.fromarray(hole).save(tmp_path / "mask.png")
    given = tmp_path / "grain.png", tmp_path / "mask.png"
    assert_alike(fill_file(page, *given, tmp_path), np.asarray(inpainter.fill(*given)), *given)


def test_jpeg_keeps_what_its_file_says(page: Any, inpainter: invertfill.Inpainter, tmp_path: Path) -> None:
    exif = Image.Exif()
    exif[0x010F], exif[0x0112] = "a camera", 6
    exif.get_ifd(0x8769)[0x829A] = (1, 50)
    photo = Image.open(EXAMPLES / "landscape-sunset.png").convert("RGB").resize((480, 320))
    profile = b"not sRGB" * 40
    photo.save(tmp_path / "holiday.jpg", quality=88, subsampling=0, exif=exif, icc_profile=profile, dpi=(72, 72))
    hole = np.zeros((480, 320), np.uint8)  # of the picture as it is shown, upright
    hole[200:260, 100:180] = 255
    Image.fromarray(hole).save(tmp_path / "mask.png")
    filled = fill_file(page, tmp_path / "holiday.jpg", tmp_path / "mask.png", tmp_path)
    assert filled.name == "holiday-filled.jpg"
    with Image.open(filled) as got:
        assert (got.size, got.info["icc_profile"], got.getexif()[0x010F]) == ((320, 480), profile, "a camera")
        assert got.getexif().get(0x0112, 1) == 1 and 0x829A in got.getexif().get_ifd(0x8769)
        off = np.abs(np.asarray(got).astype(int) - np.asarray(inpainter.fill(tmp_path / "holiday.jpg", hole)))
    assert off[hole == 0].mean() < 2 and off[hole > 0].mean() < 4  # compressed by another library


def test_variants_and_extending(page: Any, tmp_path: Path) -> None:
    picture, _ = example("landscape-aitzgorri", "box", 1, tmp_path)
    open_photo(page, picture)
    stroke(page, (0.4, 0.4), (0.6, 0.6))
    page.locator("#samples").select_option("2")
    fill(page)
    assert page.locator("#variants label").count() == 2
    page.locator("#samples").select_option("1")
    page.locator("#extending summary").click()
    page.locator("#right").fill("25")
    page.locator("#right").press("Tab")
    fill(page)
    width, height = Image.open(picture).size
    wider = pixels(download(page, tmp_path))
    assert wider.shape == (height, round(width * 1.25), 3)
    np.testing.assert_array_equal(wider[: height // 4, : width // 4], pixels(picture)[: height // 4, : width // 4])


def test_bad_input_is_one_sentence_and_work_goes_on(page: Any, inpainter: invertfill.Inpainter, tmp_path: Path) -> None:
    picture, mask = example("portrait-hopper", "box", 1, tmp_path)
    Image.new("L", (50, 300), 255).save(tmp_path / "other.png")
    open_photo(page, picture)
    page.locator("#mask").set_input_files(tmp_path / "other.png")
    page.locator("#go").click()
    page.locator("#wrong p").wait_for()
    assert "proportions" in page.locator("#wrong p").inner_text()
    filled = fill_file(page, picture, mask, tmp_path)
    assert_alike(filled, np.asarray(inpainter.fill(picture, mask)), picture, mask)


def test_offline_after_the_first_visit(page: Any, inpainter: invertfill.Inpainter, tmp_path: Path) -> None:
    page.context.set_offline(True)
    page.on("dialog", lambda dialog: dialog.accept())
    page.reload()
    page.locator("#model option").first.wait_for(state="attached")
    picture, mask = example("landscape-sunset", "box", 1, tmp_path)
    filled = fill_file(page, picture, mask, tmp_path)
    assert_alike(filled, np.asarray(inpainter.fill(picture, mask)), picture, mask)
    page.context.set_offline(False)


def test_scripts_of_others_have_no_place(page: Any) -> None:
    refused = page.evaluate(
        """() => new Promise((resolve) => {
          document.addEventListener("securitypolicyviolation", (event) => resolve(event.effectiveDirective));
          const script = document.createElement("script");
          script.src = "data:text/javascript,1";
          document.head.append(script);
        })"""
    )
    assert refused == "script-src-elem"
    assert "script-src 'self'" in page.evaluate(
        "fetch(location).then((got) => got.headers.get('content-security-policy'))"
    )


def test_an_address_that_is_not_secure(
    visit: Callable[..., Any], inpainter: invertfill.Inpainter, tmp_path: Path
) -> None:
    """Neither service worker nor caches nor threads: slower, but the same."""
    page = visit(INSECURE)
    assert not page.evaluate("isSecureContext || crossOriginIsolated")
    picture, mask = example("portrait-drawn", "box", 1, tmp_path)
    filled = fill_file(page, picture, mask, tmp_path)
    assert_alike(filled, np.asarray(inpainter.fill(picture, mask)), picture, mask)


def test_the_site_lists_its_files(site: Path) -> None:
    told = json.loads((site / "site.json").read_text())
    assert [model["name"] for model in told["models"]][:2] == [GENERAL, "auto"]
    for path, about in told["files"].items():
        assert (about["bytes"], about["sha256"]) == ((site / path).stat().st_size, sha256_of(site / path))
    for model in told["models"]:
        assert set(model["files"]) <= set(told["files"])
    assert "/page/" not in (site / "index.html").read_text().replace('"page/', "")


def test_another_page_has_another_worker(site: Path, runtime: Path, tmp_path: Path) -> None:
    """By that, browsers see that there is a newer page; the same site is the same files."""
    again = build_site(tmp_path / "again", runtime, (GENERAL,)).folder
    name = "service-worker.js"
    assert (again / name).read_bytes() != (site / name).read_bytes()  # it offers other models
    assert (again / "invertfill.zip").read_bytes() == (site / "invertfill.zip").read_bytes()


def test_command(run: Callable[..., Result], runtime: Path, tmp_path: Path) -> None:
    ended = run("site", tmp_path / "public", "--runtime", runtime, "--model", "scenery-256")
    assert ended.status == 0 and str(tmp_path / "public") in ended.out and "MB" in ended.out
    assert_one_line(run("site", tmp_path / "public", "--runtime", runtime), "empty folder")


@pytest.mark.parametrize("kind", ["nothing", "another version", "no folder"])
def test_runtime_that_is_not_there(run: Callable[..., Result], tmp_path: Path, kind: str) -> None:
    given, name = tmp_path / "given", next(iter(RUNTIME))
    if kind != "no folder":
        given.mkdir()
    if kind == "another version":
        (given / name).write_text("another")
    wanted = {"nothing": name, "another version": "another version", "no folder": "no such folder"}[kind]
    assert_one_line(run("site", tmp_path / "public", "--runtime", given), wanted, "accepted: ")
    assert not (tmp_path / "public").exists()


def test_no_npm_is_said(run: Callable[..., Result], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shutil, "which", lambda _: None)
    assert_one_line(run("site", tmp_path / "public"), "npm", "--runtime")
    assert not (tmp_path / "public").exists()


def test_models_that_do_not_ship(run: Callable[..., Result], tmp_path: Path, tiny_model_folder: Path) -> None:
    (tmp_path / "given").mkdir()
    given = ("--runtime", tmp_path / "given", "--model")
    assert_one_line(run("site", tmp_path / "public", *given, tiny_model_folder), "doesn't ship")
    assert_one_line(run("site", tmp_path / "public", *given, "patchmatch"), "patchmatch")
    assert not (tmp_path / "public").exists()


def test_nothing_but_the_part_that_fills_goes_along() -> None:
    """It imports without what a browser's Python lacks."""
    code = """
import sys
for name in ("onnxruntime", "fastapi", "pydantic", "torch", "typer", "rich", "patchmatch"): sys.modules[name] = None
import invertfill.pipeline.inpainter, invertfill.imaging.preview
"""
    subprocess.run([sys.executable, "-c", code], check=True, env=environment())
