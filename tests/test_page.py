"""The page in a real browser: a photo is painted on with the mouse, filled, compared and taken away."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from conftest import pixels, serving
from PIL import Image

from invertfill.imaging import coefficients

pytest.importorskip("fastapi", reason="needs the app extra")
playwright = pytest.importorskip("playwright.sync_api", reason="drives the browser")

pytestmark = pytest.mark.slow

BROWSERS = ("chromium", "chromium-browser", "google-chrome", "chrome")
SHOTS = os.environ.get("INVERTFILL_SHOTS")  # a folder that gets pictures of the page, to be looked at
PHONE = {"width": 390, "height": 780}


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    found = next(filter(None, map(shutil.which, BROWSERS)), None)
    if found is None:
        pytest.skip(f"needs a browser: {', '.join(BROWSERS)}")
    with playwright.sync_playwright() as driver:
        # Without its sandbox, which root isn't allowed; nothing but our own page is opened.
        browser = driver.chromium.launch(executable_path=found, args=["--no-sandbox", "--disable-gpu"])
        yield browser
        browser.close()


@pytest.fixture(scope="module")
def address(tiny_model_folder: Path) -> Iterator[str]:
    with serving("--model", tiny_model_folder, "--workers", 1, "--max-upload", 20) as (_, address):
        yield address


@pytest.fixture
def visit(browser: Any, address: str) -> Iterator[Callable[..., Any]]:
    """Open the page. Anything that it asks of another server, or says on the console, fails the test."""
    contexts, trouble = [], []

    def visit(**options: Any) -> Any:
        contexts.append(browser.new_context(**{"viewport": {"width": 1000, "height": 720}, **options}))
        page = contexts[-1].new_page()
        page.set_default_timeout(60_000)
        page.on("request", lambda request: request.url.startswith((address, "blob:")) or trouble.append(request.url))
        page.on("pageerror", lambda error: trouble.append(str(error)))
        page.on(
            "console",
            lambda said: said.type == "error" and "status of 4" not in said.text and trouble.append(said.text),
        )
        page.goto(address)
        return page

    yield visit
    for context in contexts:
        context.close()
    assert not trouble


def shoot(page: Any, name: str) -> None:
    if SHOTS:
        page.screenshot(path=Path(SHOTS) / f"{name}.png")


def hold(page: Any, path: Path) -> None:
    """Choose a photo."""
    page.locator("#file").set_input_files(path)
    page.locator("#asking").wait_for()


def stroke(page: Any, *points: tuple[float, float]) -> None:
    """Paint through points, given as shares of the photo's sides."""
    box = page.locator("#photo").bounding_box()
    places = [(box["x"] + x * box["width"], box["y"] + y * box["height"]) for x, y in points]
    page.mouse.move(*places[0])
    page.mouse.down()
    for place in places[1:]:
        page.mouse.move(*place, steps=8)
    page.mouse.up()


def download(page: Any, to: Path) -> Path:
    with page.expect_download() as wait:
        page.locator("#download").click()
    path = to / wait.value.suggested_filename
    wait.value.save_as(path)
    return path


def painted(page: Any) -> int:
    """Pixels of the mask."""
    count: int = page.evaluate(
        """() => {
          const canvas = document.getElementById("paint");
          const data = canvas.getContext("2d").getImageData(0, 0, canvas.width, canvas.height).data;
          return data.filter((value, i) => i % 4 == 3 && value > 127).length;
        }"""
    )
    return count


@pytest.fixture
def large(tmp_path: Path) -> Path:
    """holiday.png, 2600 x 1950: more than the page paints on. Every pixel differs from its neighbours."""
    y, x = np.mgrid[:1950, :2600]
    Image.fromarray(np.dstack([x % 256, y % 256, (x + y) // 8 % 256]).astype(np.uint8)).save(tmp_path / "holiday.png")
    return tmp_path / "holiday.png"


def test_paint_fill_compare_download(visit, large: Path, tmp_path: Path) -> None:
    page = visit()
    shoot(page, "start")
    hold(page, large)
    assert page.locator("#fill").is_disabled()
    stroke(page, (0.3, 0.3), (0.4, 0.5), (0.5, 0.3))
    shoot(page, "painted")
    page.locator("#fill").click()
    page.locator("#result").wait_for()
    shoot(page, "result")

    cut = page.locator("#cut")
    box = cut.bounding_box()
    page.mouse.click(box["x"] + 0.25 * box["width"], box["y"] + 0.5 * box["height"])
    assert 23 < float(cut.input_value()) < 27
    assert page.locator("#before").evaluate("image => getComputedStyle(image).clipPath").startswith("inset(0px 7")

    filled = download(page, tmp_path)
    assert filled.name == "holiday-filled.png"
    before, after = pixels(large), pixels(filled)
    assert after.shape == before.shape
    changed = (after != before).any(2)
    y, x = np.nonzero(changed)
    # The strokes' box and half a brush around it; some tolerance for whole pixels of the screen.
    radius = 2048 / 14 / 2 / 2048
    assert 0.3 - radius - 0.01 < x.min() / 2600 < 0.3 < 0.5 < x.max() / 2600 < 0.5 + radius + 0.01
    assert y.min() / 1950 < 0.3 and 0.5 < y.max() / 1950 < 0.5 + radius * 4 / 3 + 0.01
    assert 0.02 < changed.mean() < 0.08
    for share in ((0.3, 0.3), (0.4, 0.5), (0.5, 0.3)):
        assert changed[int(share[1] * 1950) - 20 :, int(share[0] * 2600) - 20 :][:40, :40].mean() > 0.9


def test_variants_going_on_and_jpeg(visit, large: Path, tmp_path: Path) -> None:
    Image.open(large).resize((300, 225)).save(tmp_path / "small.jpeg", quality=80, dpi=(300, 300))
    page = visit(color_scheme="dark")
    hold(page, tmp_path / "small.jpeg")
    page.locator("#samples").select_option("3")
    stroke(page, (0.6, 0.6), (0.8, 0.6))
    page.keyboard.press("Enter")
    page.locator("#variants label").nth(2).wait_for()
    page.locator("#another:enabled").click()
    page.locator("#variants label").nth(3).wait_for()
    page.locator("#onward:enabled").wait_for()
    shoot(page, "variants-dark")
    page.locator("#variants input").nth(2).check(force=True)
    third = download(page, tmp_path)
    assert third.name == "small-filled.jpeg"
    with Image.open(third) as image:
        assert image.format == "JPEG" and image.info["dpi"] == (300, 300)

    page.locator("#onward").click()
    page.locator("#asking").wait_for()
    stroke(page, (0.2, 0.2), (0.3, 0.2))
    page.locator("#fill").click()
    page.locator("#result").wait_for()
    page.locator("#variants label").nth(2).wait_for()  # they come one by one
    assert page.locator("#variants label").count() == 3
    again = download(page, tmp_path / "..")
    assert again.name == "small-filled.jpeg"
    difference = np.abs(pixels(again).astype(int) - pixels(third).astype(int)).max(2)
    assert difference[20:80, 40:110].max() > 30
    # Blocks far from the hole stay as they are, or without the jpeg extra, are what the file's own tables make of them.
    expected = third
    if not coefficients.available():
        expected = tmp_path / "again.jpeg"
        with Image.open(third) as image:
            image.save(expected, quality="keep")
    np.testing.assert_array_equal(pixels(again)[128:], pixels(expected)[128:])


def test_tools_and_keys(visit, large: Path) -> None:
    page = visit()
    hold(page, large)
    stroke(page, (0.2, 0.5), (0.8, 0.5))
    one = painted(page)
    stroke(page, (0.5, 0.2), (0.5, 0.8))
    two = painted(page)
    assert 0 < one < two
    page.keyboard.press("Control+z")
    assert painted(page) == one
    page.locator("#redo").click()
    assert painted(page) == two
    page.keyboard.press("e")
    assert page.locator("#eraser").get_attribute("aria-pressed") == "true"
    stroke(page, (0.2, 0.5), (0.8, 0.5))
    assert abs(painted(page) - (two - one)) < 0.01 * two  # but for half-covered pixels at the edges
    page.keyboard.press("x")
    assert painted(page) == 0 and page.locator("#fill").is_disabled()
    page.keyboard.press("b")

    size = float(page.locator("#size").input_value())
    page.keyboard.press("]")
    assert float(page.locator("#size").input_value()) > size

    page.locator("#stage").focus()  # with keys alone
    page.keyboard.press(" ")
    dot = painted(page)
    for _ in range(4):
        page.keyboard.press("ArrowRight")
    page.keyboard.press(" ")
    assert painted(page) > dot > 0

    width = page.locator("#photo").bounding_box()["width"]
    page.keyboard.press("+")
    assert page.locator("#photo").bounding_box()["width"] > 1.4 * width
    page.keyboard.press("0")
    assert abs(page.locator("#photo").bounding_box()["width"] - width) < 1


def test_mask_file(visit, photo: Path, mask: Path, tmp_path: Path) -> None:
    """Sent as it is, so it holds to the pixel."""
    page = visit()
    hold(page, photo)
    page.get_by_text("Load a mask").click()
    page.locator("#mask").set_input_files(mask)
    page.locator("#fill:enabled").click()
    page.locator("#result").wait_for()
    after, hole = pixels(download(page, tmp_path)), pixels(mask) > 127
    np.testing.assert_array_equal(after[~hole], pixels(photo)[~hole])
    assert (after[hole] != pixels(photo)[hole]).mean() > 0.9


def test_extend(visit, photo: Path, tmp_path: Path) -> None:
    page = visit()
    hold(page, photo)
    page.get_by_text("Extend the picture").click()
    page.locator("#right").fill("50")
    page.locator("#extend").click()
    page.locator("#result").wait_for()
    after = pixels(download(page, tmp_path))
    assert after.shape == (24, 60, 3)
    np.testing.assert_array_equal(after[:, :40], pixels(photo))


def test_pictures_that_browsers_cannot_show(visit, large: Path, tmp_path: Path) -> None:
    Image.open(large).resize((400, 300)).save(tmp_path / "scan.tiff")
    page = visit()
    hold(page, tmp_path / "scan.tiff")
    stroke(page, (0.4, 0.4), (0.6, 0.6))
    page.locator("#fill").click()
    page.locator("#result").wait_for()
    filled = download(page, tmp_path)
    assert filled.name == "scan-filled.tiff" and pixels(filled).shape == (300, 400, 3)


@pytest.mark.parametrize("way", ["drop", "paste"])
def test_drop_and_paste(visit, photo: Path, way: str) -> None:
    page = visit()
    page.evaluate(
        """([way, bytes]) => {
          const files = new DataTransfer();
          files.items.add(new File([new Uint8Array(bytes)], "given.png", {type: "image/png"}));
          const event = way == "drop" ? new DragEvent("drop", {dataTransfer: files, bubbles: true})
                                      : new ClipboardEvent("paste", {clipboardData: files, bubbles: true});
          document.body.dispatchEvent(event);
        }""",
        [way, list(photo.read_bytes())],
    )
    page.locator("#asking").wait_for()
    assert page.locator("#about").inner_text() == "given.png"
    assert page.locator("#photo").evaluate("canvas => [canvas.width, canvas.height]") == [40, 24]


def test_errors_are_plain(visit, tmp_path: Path) -> None:
    page = visit()
    (tmp_path / "notes.png").write_text("no picture")
    page.locator("#file").set_input_files(tmp_path / "notes.png")
    page.locator("#wrong:not(:empty)").wait_for()
    assert "notes.png" in page.locator("#wrong").inner_text()
    (tmp_path / "huge.png").write_bytes(bytes(21 * 10**6))
    page.locator("#file").set_input_files(tmp_path / "huge.png")
    page.get_by_text("more than 20 MB").wait_for()
    page.locator("[data-example]").first.click()
    page.locator("#asking").wait_for()
    assert page.locator("#wrong").inner_text() == ""


def test_cancel(visit, large: Path) -> None:
    page = visit()
    page.route("**/v1/fill", lambda route: None)  # it never comes to an end
    hold(page, large)
    stroke(page, (0.4, 0.4), (0.6, 0.6))
    page.locator("#fill").click()
    page.locator("#cancel").click()
    page.locator("#fill:enabled").wait_for()
    assert page.locator("#busy").is_hidden() and page.locator("#wrong").inner_text() == ""


def test_on_a_phone(visit, large: Path) -> None:
    page = visit(viewport=PHONE, has_touch=True, is_mobile=True)
    shoot(page, "phone-start")
    hold(page, large)
    box = page.locator("#photo").bounding_box()
    middle = box["x"] + box["width"] / 2, box["y"] + box["height"] / 2
    page.touchscreen.tap(*middle)
    dot = painted(page)
    assert dot > 0

    fingers = page.context.new_cdp_session(page)  # two of them move apart: closer, and nothing is painted
    for kind, apart in (("touchStart", 20), ("touchMove", 40), ("touchMove", 60), ("touchEnd", None)):
        places = [{"x": middle[0] + x, "y": middle[1], "id": int(x > 0)} for x in (-apart, apart)] if apart else []
        fingers.send("Input.dispatchTouchEvent", {"type": kind, "touchPoints": places})
    assert page.locator("#photo").bounding_box()["width"] > 2 * box["width"] and painted(page) == dot
    page.locator("#fit").click()
    stroke(page, (0.3, 0.3), (0.6, 0.4))
    shoot(page, "phone-painted")
    width = page.evaluate("document.documentElement.scrollWidth")
    assert width <= PHONE["width"]  # nothing to be pushed aside
    for button in page.locator("#work button:visible").all():
        box = button.bounding_box()
        assert box["height"] >= 40 and box["x"] >= 0 and box["x"] + box["width"] <= PHONE["width"]
    page.locator("#fill").click()
    page.locator("#result").wait_for()
    page.locator("#download").scroll_into_view_if_needed()
    shoot(page, "phone-result")


def test_everything_has_a_name(visit, photo: Path) -> None:
    """For screen readers: each control that can be reached says what it is."""
    page = visit()
    hold(page, photo)
    for details in page.locator("summary").all():
        details.click()
    nameless = page.evaluate(
        """() => [...document.querySelectorAll("button, input, select, a, img, canvas")]
          .filter((one) => one.checkVisibility())
          .filter((one) => !(one.ariaLabel || one.labels?.length || one.textContent.trim() || one.hasAttribute("alt")
                             || one.closest("[role=application]")))
          .map((one) => one.outerHTML)"""
    )
    assert nameless == []


def test_token(browser: Any, tiny_model_folder: Path) -> None:
    with serving("--model", tiny_model_folder, "--token", "correct horse battery") as (_, address):
        context = browser.new_context()
        page = context.new_page()
        page.goto(address)
        page.locator("#token").fill("correct horse battery")
        page.keyboard.press("Enter")
        page.locator("#model option").wait_for(state="attached")
        page.goto("about:blank")
        context.close()
        context = browser.new_context()
        page = context.new_page()
        page.goto(f"{address}#token=correct%20horse%20battery")
        page.locator("#model option").wait_for(state="attached")
        assert "token" not in page.url
        context.close()
