"""The page in a real browser: a photo is painted on with the mouse, filled, compared and taken away."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from browsing import download, fill, hold, shoot, shown, spot, stroke
from conftest import pixels, serving
from PIL import Image

from invertfill.imaging import coefficients

pytest.importorskip("fastapi", reason="needs the app extra")

pytestmark = pytest.mark.slow

EXPECTED = ("status of 4", "ERR_CONNECTION_REFUSED")  # what the browser itself says of answers that the page explains
PHONE = {"width": 390, "height": 780}


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
            lambda said: said.type == "error" and not any(map(said.text.count, EXPECTED)) and trouble.append(said.text),
        )
        page.goto(address)
        return page

    yield visit
    for context in contexts:
        context.close()
    assert not trouble


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


@pytest.fixture
def medium(large: Path, tmp_path: Path) -> Path:
    """beach.png, 640 x 480: to be filled quickly."""
    Image.open(large).crop((0, 0, 640, 480)).save(tmp_path / "beach.png")
    return tmp_path / "beach.png"


def test_paint_fill_compare_download(visit, large: Path, tmp_path: Path) -> None:
    page = visit()
    shoot(page, "start")
    hold(page, large)
    assert page.locator("#go").is_disabled()
    stroke(page, (0.3, 0.3), (0.4, 0.5), (0.5, 0.3))
    shoot(page, "painted")
    fill(page)
    shoot(page, "result")

    filled = download(page, tmp_path)
    assert filled.name == "holiday-filled.png"
    before, after = pixels(large), pixels(filled)
    assert after.shape == before.shape
    changed = (after != before).any(2)
    y, x = np.nonzero(changed)
    # The strokes' box and half a brush around it; some tolerance for whole pixels of the screen.
    radius = 1 / 14 / 2
    assert 0.3 - radius - 0.01 < x.min() / 2600 < 0.3 < 0.5 < x.max() / 2600 < 0.5 + radius + 0.01
    assert y.min() / 1950 < 0.3 and 0.5 < y.max() / 1950 < 0.5 + radius * 4 / 3 + 0.01
    assert 0.02 < changed.mean() < 0.08
    for share in ((0.3, 0.3), (0.4, 0.5), (0.5, 0.3)):
        assert changed[int(share[1] * 1950) - 20 :, int(share[0] * 2600) - 20 :][:40, :40].mean() > 0.9


def test_undo_and_redo_go_across_fills(visit, medium: Path) -> None:
    page = visit()
    hold(page, medium)
    stroke(page, (0.2, 0.3), (0.3, 0.3))
    mask = painted(page)
    fill(page)
    assert shown(page) == "Fill 1" and painted(page) == 0
    stroke(page, (0.6, 0.3), (0.7, 0.3))
    fill(page)
    assert shown(page) == "Fill 2"
    page.keyboard.press("Control+z")  # to the step before, with what was painted on it
    assert shown(page) == "Fill 1" and painted(page) > 0
    page.keyboard.press("Control+z")
    assert shown(page) == "Fill 1" and painted(page) == 0
    page.keyboard.press("Control+z")
    assert shown(page) == "Original" and painted(page) == mask
    for _ in range(3):
        page.keyboard.press("Control+Shift+z")
    assert shown(page) == "Fill 2" and page.locator("#redo").is_disabled()

    page.locator("#film button").first.click()  # another way from the original: the first one stays
    assert painted(page) == mask
    fill(page)
    assert page.locator("#film button").all_inner_texts() == ["Original", "Fill 1", "Fill 2", "Fill 3"]
    page.locator("#undo").click()
    assert shown(page) == "Original"
    page.locator("#redo").click()
    assert shown(page) == "Fill 3"


def test_asks_before_work_is_lost(visit, large: Path, photo: Path) -> None:
    page = visit()
    hold(page, photo)
    page.locator("#file").set_input_files(large)  # nothing done yet, nothing asked
    page.locator("#about").get_by_text("holiday.png", exact=True).wait_for()
    stroke(page, (0.4, 0.4), (0.6, 0.4))
    for answer, name in (("stay", "holiday.png"), ("leave", "photo.png")):
        page.locator("#file").set_input_files(photo)
        page.locator(f"#sure [value={answer}]").click()
        page.locator("#about").get_by_text(name, exact=True).wait_for()
    stroke(page, (0.4, 0.4), (0.6, 0.4))
    asked = []
    page.on("dialog", lambda dialog: (asked.append(dialog.type), dialog.accept()))
    page.reload()
    assert asked == ["beforeunload"]
    page.locator("#start").wait_for()
    page.reload()
    assert len(asked) == 1


def test_compare_at_any_zoom(visit, large: Path) -> None:
    page = visit()
    hold(page, large)
    assert page.locator("#compare").is_disabled()
    stroke(page, (0.3, 0.3), (0.5, 0.3))
    fill(page)
    page.keyboard.press("c")
    stage, line = page.locator("#stage").bounding_box(), page.locator("#line")

    def middle() -> float:
        box = line.bounding_box()
        return float(box["x"] + box["width"] / 2 - stage["x"])

    def hidden() -> float:
        """Of before, from the right, in shares of the picture."""
        clip = page.locator("#before").evaluate("layer => getComputedStyle(layer).clipPath")
        return float(clip.split()[1].rstrip("%")) / 100

    assert abs(middle() - stage["width"] / 2) < 1 and abs(hidden() - 0.5) < 0.01
    assert page.locator("#before img").evaluate("image => image.naturalWidth") == 2600

    def drag(x: float) -> None:
        page.mouse.move(stage["x"] + middle(), stage["y"] + 200)
        page.mouse.down()
        page.mouse.move(stage["x"] + x, stage["y"] + 200, steps=4)
        page.mouse.up()

    for far in (-300, stage["width"] + 300):  # the knob, 44 px wide, stays on the stage as a whole and comes back
        drag(far)
        assert 22 <= middle() <= stage["width"] - 22
    drag(stage["width"] / 4)
    assert abs(middle() - stage["width"] / 4) < 1

    page.mouse.dblclick(stage["x"] + 300, stage["y"] + 200)
    assert page.locator("#actual").inner_text() == "100 %"
    assert abs(page.locator("#photo").bounding_box()["width"] - 2600) < 1
    assert page.locator("#before img").bounding_box() == page.locator("#photo").bounding_box()
    x = page.locator("#photo").bounding_box()["x"]
    assert abs((1 - hidden()) * 2600 + x - stage["x"] - middle()) < 2  # the cut is where the line is
    page.mouse.down()
    page.mouse.move(stage["x"] + 250, stage["y"] + 200)
    page.mouse.up()
    assert abs(page.locator("#photo").bounding_box()["x"] - (x - 50)) < 1
    page.mouse.wheel(0, -200)
    assert int(page.locator("#actual").inner_text().split()[0]) > 110
    shoot(page, "compare")

    page.keyboard.press("Escape")
    assert page.locator("#before").is_hidden()
    page.keyboard.down("h")
    assert page.locator("#before").is_visible() and line.is_hidden()
    page.keyboard.up("h")
    assert page.locator("#before").is_hidden()
    page.locator("#hold").hover()
    page.mouse.down()
    assert page.locator("#before").is_visible()
    page.mouse.up()
    assert page.locator("#before").is_hidden()


def test_space_moves_the_picture(visit, medium: Path) -> None:
    page = visit()
    hold(page, medium)
    for _ in range(3):
        page.keyboard.press("+")
    x = page.locator("#photo").bounding_box()["x"]
    page.mouse.move(400, 400)
    page.keyboard.down(" ")
    page.mouse.down()
    page.mouse.move(340, 400)
    page.mouse.up()
    page.keyboard.up(" ")
    assert abs(page.locator("#photo").bounding_box()["x"] - (x - 60)) < 1 and painted(page) == 0


def test_nothing_jumps_while_it_works(visit, medium: Path) -> None:
    page = visit()
    page.route("**/v1/fill", lambda route: None)  # it never comes to an end
    hold(page, medium)
    stroke(page, (0.4, 0.4), (0.6, 0.6))

    def places() -> list[Any]:
        return [page.locator(one).bounding_box() for one in ("#photo", "#model", "#film", "#undo", "#action")]

    before = places()
    page.locator("#go").click()
    page.locator("#cancel").wait_for()
    assert places() == before
    assert page.locator("#shimmer").evaluate("one => one.getAnimations().length") == 1
    assert page.locator("#doing").inner_text()
    shoot(page, "busy")
    stroke(page, (0.2, 0.2), (0.3, 0.3))  # moves the picture, if anything: the mask is under way
    page.locator("#cancel").click()
    page.locator("#go:enabled").wait_for()
    assert page.locator("#busy").is_hidden() and page.locator("#shimmer").is_hidden()
    assert page.locator("#wrong").inner_text() == "" and places()[1:] == before[1:]


def test_progress_claims_no_more_than_is_known(visit) -> None:
    """A share while it is sent; after that the seconds that have passed."""
    page = visit()
    said = page.evaluate(
        """async () => {
          const { Progress } = await import("/page/progress.js");
          const [bar, text, shimmer] = ["progress", "p", "p"].map((tag) => document.createElement(tag));
          const progress = new Progress({ bar, text, shimmer });
          const said = [];
          progress.start("Filling", null);
          for (const share of [0.5, 1]) {
            progress.before(share, "Sending");
            said.push([bar.getAttribute("value"), text.textContent]);
          }
          progress.stop(true);
          return said;
        }"""
    )
    assert said[0][0] == "0.5" and "50 %" in said[0][1]
    assert said[1][0] is None and "0 s" in said[1][1] and "%" not in said[1][1]


def test_description_fills_an_example(visit, address: str) -> None:
    """All is open from the start, and one button shows a fill."""
    page = visit(viewport={"width": 1280, "height": 900})
    page.goto(f"{address}docs")
    page.locator(".execute").first.wait_for()
    assert page.locator(".opblock.is-open").count() == page.locator(".opblock").count() == 6
    page.get_by_text("Pixels by which holes are made larger").first.wait_for()
    page.locator(".execute").first.click()
    shown = page.locator(".live-responses-table img")
    shown.wait_for()
    assert shown.evaluate("async (one) => { await one.decode(); return one.naturalWidth; }") == 256
    shoot(page, "docs")


def test_variants_are_counted_as_they_come(visit, medium: Path) -> None:
    page = visit()
    hold(page, medium)
    page.locator("#samples").select_option("5")
    stroke(page, (0.3, 0.3), (0.7, 0.7))
    page.evaluate(
        """() => {
          window.seen = [];
          new MutationObserver(() => seen.push([document.getElementById("doing").textContent, progress.value]))
            .observe(document.getElementById("doing"), { childList: true });
        }"""
    )
    fill(page)
    told = [(re.search(r", (\d) of 5 done: ", text), bar) for text, bar in page.evaluate("seen")]
    counts = [(int(found[1]), bar) for found, bar in told if found]
    assert counts == sorted(counts, key=lambda one: one[0])
    assert any(0 < done < 5 and bar == done / 5 for done, bar in counts)


def test_variants_going_on_and_jpeg(visit, large: Path, tmp_path: Path) -> None:
    Image.open(large).resize((300, 225)).save(tmp_path / "small.jpeg", quality=80, dpi=(300, 300))
    page = visit(color_scheme="dark")
    asked: list[str] = []
    page.on("request", lambda request: request.url.endswith("/fill") and asked.append(request.url))
    hold(page, tmp_path / "small.jpeg")
    page.locator("#samples").select_option("3")
    stroke(page, (0.6, 0.6), (0.8, 0.6))
    page.keyboard.press("Enter")
    page.locator("#variants label").nth(2).wait_for()
    assert len(asked) == 1  # what comes before the drawing is paid once
    page.locator("#another").click()
    page.locator("#variants label").nth(3).wait_for()
    shoot(page, "variants-dark")
    details = page.locator("#variants canvas").evaluate_all("all => all.map((one) => one.toDataURL())")
    assert len(set(details)) == 4
    page.keyboard.press("3")
    assert page.locator("#variants input").nth(2).is_checked()
    third = download(page, tmp_path)
    assert third.name == "small-filled.jpeg"
    with Image.open(third) as image:
        assert image.format == "JPEG" and image.info["dpi"] == (300, 300)

    stroke(page, (0.2, 0.2), (0.3, 0.2))
    fill(page)
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
    page.keyboard.press("Control+z")
    page.keyboard.press("Control+z")
    assert page.locator("#variants input").nth(2).is_checked()  # the last fill was made of it


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
    assert painted(page) == 0 and page.locator("#go").is_disabled()
    page.keyboard.press("b")

    size = float(page.locator("#size").input_value())
    page.mouse.move(*spot(page, 0.5, 0.5))
    page.keyboard.press("]")
    assert float(page.locator("#size").input_value()) > size
    scale = page.locator("#photo").bounding_box()["width"] / 2600
    size = float(page.locator("#size").input_value())
    assert abs(page.locator("#ring").bounding_box()["width"] - size * scale) < 4  # and its border
    assert page.locator("#ring").get_attribute("data-size") == f"{size:.0f} px"
    page.keyboard.press("[")
    assert float(page.locator("#size").input_value()) < size

    page.locator("#stage").focus()  # with keys alone
    page.keyboard.press("ArrowLeft")
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


def test_shapes(visit, large: Path) -> None:
    """Areas of the mask, 2048 x 1536 pixels, against geometry."""
    page = visit()
    hold(page, large)
    whole, brush = 2048 * 1536, round(2600 / 14) * 2048 / 2600

    page.keyboard.press("r")
    stroke(page, (0.1, 0.1), (0.5, 0.9), (0.6, 0.4))
    assert abs(painted(page) / whole - 0.5 * 0.3) < 0.01
    page.keyboard.down("Alt")
    stroke(page, (0.1, 0.1), (0.35, 0.4))
    page.keyboard.up("Alt")
    assert abs(painted(page) / whole - 0.25 * 0.3) < 0.01
    page.keyboard.press("x")

    page.keyboard.press("l")
    stroke(page, (0.2, 0.2), (0.8, 0.2), (0.8, 0.8))
    assert abs(painted(page) / whole - 0.6 * 0.6 / 2) < 0.01
    page.keyboard.press("x")

    page.keyboard.press("b")
    page.keyboard.down("Shift")
    stroke(page, (0.2, 0.5), (0.5, 0.9), (0.6, 0.5))  # straight from where it began
    page.keyboard.up("Shift")
    disc = np.pi * (brush / 2) ** 2
    assert abs(painted(page) / (0.4 * 2048 * brush + disc) - 1) < 0.02
    page.keyboard.press("x")

    stroke(page, (0.2, 0.5))
    page.keyboard.down("Shift")
    stroke(page, (0.6, 0.5))  # and from where the last one ended
    page.keyboard.up("Shift")
    assert abs(painted(page) / (0.4 * 2048 * brush + disc) - 1) < 0.02


def test_fill_on_release_again_grow_and_saved_mask(visit, large: Path, tmp_path: Path) -> None:
    Image.open(large).resize((400, 300)).save(tmp_path / "small.png")
    page = visit()
    hold(page, tmp_path / "small.png")
    stroke(page, (0.3, 0.5), (0.5, 0.5))
    mask = pixels(download_of_mask(page, tmp_path))
    assert mask.shape[:2] == (300, 400) and set(np.unique(mask[..., :3])) >= {0, 255}
    assert abs((mask[..., 0] > 127).mean() - painted(page) / (300 * 400)) < 0.001
    page.get_by_text("Edges").click()
    stroke_alone = painted(page)
    page.locator("#grow").fill("12")
    page.locator("#feather").fill("8")
    top, left = np.nonzero(mask[..., 0] > 127)[0].min(), int(np.nonzero(mask[..., 0] > 127)[1].mean())
    seen = [opacity(page, left, top - above) for above in (-1, 6, 16, 24)]
    assert seen[0] > seen[1] > seen[2] > seen[3] == 0  # the paint, what grows, what fades, the rest
    page.locator("#feather").fill("0")
    assert painted(page) > stroke_alone
    fill(page)
    changed = (pixels(download(page, tmp_path)) != pixels(tmp_path / "small.png")).any(2)
    y, x = np.nonzero(mask[..., 0] > 127)
    assert changed[y.min() - 10, (x.min() + x.max()) // 2] and not changed[y.min() - 15].any()

    page.locator("#grow").fill("0")
    page.locator("#again").click()
    page.locator("#film button").nth(2).wait_for()
    assert shown(page) == "Fill 2"
    page.get_by_label("Fill when I let go").check()
    stroke(page, (0.7, 0.2), (0.8, 0.2))
    page.locator("#film button").nth(3).wait_for()
    assert shown(page) == "Fill 3"


def opacity(page: Any, x: int, y: int) -> int:
    """Of the paint that is shown, in a photo that isn't made smaller for it."""
    return int(page.evaluate(f"document.querySelector('#paint').getContext('2d').getImageData({x}, {y}, 1, 1).data[3]"))


def download_of_mask(page: Any, to: Path) -> Path:
    page.get_by_text("Mask", exact=True).click()
    path = download(page, to, "#save")
    assert path.name == "small-mask.png"
    return path


def test_mask_file(visit, photo: Path, mask: Path, tmp_path: Path) -> None:
    """Sent as it is, so it holds to the pixel."""
    page = visit()
    hold(page, photo)
    page.get_by_text("Mask", exact=True).click()
    page.locator("#mask").set_input_files(mask)
    page.locator("#go:enabled").wait_for()
    fill(page)
    after, hole = pixels(download(page, tmp_path)), pixels(mask) > 127
    np.testing.assert_array_equal(after[~hole], pixels(photo)[~hole])
    assert (after[hole] != pixels(photo)[hole]).mean() > 0.9


def test_extend_by_dragging_and_by_proportions(visit, photo: Path, tmp_path: Path) -> None:
    page = visit()
    hold(page, photo)
    page.get_by_text("Extend the picture").click()
    page.locator("#grips").wait_for()
    assert page.locator("#go").is_disabled()
    box = page.locator("#photo").bounding_box()
    page.locator("[data-drag=right]").hover()
    page.mouse.down()
    page.mouse.move(box["x"] + 1.25 * box["width"], box["y"] + 5, steps=4)
    assert page.locator("#right").input_value() == "25"
    assert abs(page.locator("#frame").bounding_box()["width"] - 1.25 * box["width"]) < 2
    page.mouse.up()
    fill(page)
    after = pixels(download(page, tmp_path))
    assert after.shape == (24, 50, 3)
    np.testing.assert_array_equal(after[:, :40], pixels(photo))

    page.keyboard.press("c")  # before lies where it is in the larger picture
    widths = [page.locator(one).bounding_box()["width"] for one in ("#before img", "#photo")]
    assert abs(widths[0] / widths[1] - 40 / 50) < 0.01
    page.get_by_text("Extend the picture").click()
    page.get_by_text("1:1").click()
    frame = page.locator("#frame").bounding_box()
    assert abs(frame["width"] - frame["height"]) < 2
    shoot(page, "extend")
    fill(page)
    assert pixels(download(page, tmp_path)).shape == (50, 50, 3)


def test_server_that_stops(visit, medium: Path) -> None:
    """What was painted stays, and one button goes on."""
    page = visit()
    hold(page, medium)
    stroke(page, (0.3, 0.3), (0.5, 0.3))
    mask = painted(page)
    page.route("**/v1/fill", lambda route: route.abort("connectionrefused"))
    page.locator("#go").click()
    button = page.locator("#wrong button")
    button.wait_for()
    assert painted(page) == mask
    page.unroute("**/v1/fill")
    button.click()
    page.locator("#film button").nth(1).wait_for()
    assert page.locator("#wrong").inner_text() == ""


def test_words(visit) -> None:
    page = visit()
    said = page.evaluate(
        """async () => {
          const { howFilled, modelWords, plain } = await import("/page/words.js");
          return [
            modelWords({ name: "tiny", domain: "noise" }),
            howFilled("scenery-256", "portrait model (faces-256): 2 faces were found"),
            plain("mask: the hole is 60% of the picture; invert_mask makes it the rest"),
            plain("image: nothing is known; filled from the mean latent"),
          ];
        }"""
    )
    assert said[0] == {"title": "tiny", "line": "noise"}
    assert "2 faces" in said[1] and "256" not in said[1]
    assert "60%" in said[2] and "_" not in said[2]
    assert "known" in said[3] and "latent" not in said[3]


def test_pictures_that_browsers_cannot_show(visit, large: Path, tmp_path: Path) -> None:
    Image.open(large).resize((400, 300)).save(tmp_path / "scan.tiff")
    page = visit()
    hold(page, tmp_path / "scan.tiff")
    assert page.locator("#about").inner_text() == "scan.tiff, shown in 400 × 300 pixels"
    stroke(page, (0.4, 0.4), (0.6, 0.6))
    fill(page)
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
    assert page.locator("#photo").evaluate("one => [one.naturalWidth, one.naturalHeight]") == [40, 24]


def test_errors_are_plain(visit, tmp_path: Path) -> None:
    page = visit()
    (tmp_path / "notes.png").write_text("no picture")
    page.locator("#file").set_input_files(tmp_path / "notes.png")
    page.locator("#wrong p").wait_for()
    assert page.locator("#wrong p").inner_text().count("notes.png") == 1
    (tmp_path / "huge.png").write_bytes(bytes(21 * 10**6))
    page.locator("#file").set_input_files(tmp_path / "huge.png")
    page.get_by_text("20 MB").wait_for()
    page.locator("[data-example]").first.click()
    page.locator("#asking").wait_for()
    assert page.locator("#wrong").inner_text() == ""


def test_on_a_phone(visit, medium: Path) -> None:
    page = visit(viewport=PHONE, has_touch=True, is_mobile=True)
    shoot(page, "phone-start")
    hold(page, medium)
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
    fill(page)
    for summary in page.locator("summary").all():
        summary.click()
    for target in page.locator(":is(button, select, summary, .switch, .chips span, .button):visible").all():
        box = target.bounding_box()
        assert box["height"] >= 44 and box["x"] >= 0 and box["x"] + box["width"] <= PHONE["width"], target.inner_html()
    for target in page.locator("#tools button:visible").all():
        assert target.bounding_box()["width"] >= 44
    assert page.evaluate("document.documentElement.scrollWidth") <= PHONE["width"]
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
                             || one.closest("[role=application], [aria-hidden=true]")))
          .map((one) => one.outerHTML)"""
    )
    assert nameless == []


def test_shortcuts_and_tooltips(visit, medium: Path) -> None:
    """Each button of the toolbar tells its key, and the key presses it."""
    page = visit()
    hold(page, medium)
    tips = page.locator("#tools .icon").evaluate_all("all => all.map((one) => one.dataset.tip)")
    assert all(tip and "(" in tip for tip in tips)
    page.locator("#brush").hover()
    assert page.locator("#brush").evaluate("one => getComputedStyle(one, '::after').display") != "none"
    page.keyboard.press("?")
    page.locator("#sheet-of-keys").wait_for()
    assert page.locator("#keys dt").count() == page.locator("#keys dd").count() > 20
    page.keyboard.press("l")  # not while the sheet is read
    page.keyboard.press("Escape")
    assert page.locator("#brush").get_attribute("aria-pressed") == "true"
    page.keyboard.press("l")
    assert page.locator("#lasso").get_attribute("aria-pressed") == "true"


def test_where_to_drop(visit, medium: Path) -> None:
    page = visit()
    hold(page, medium)
    drag = """kind => {
      const files = new DataTransfer();
      files.items.add(new File(["x"], "given.png", {type: "image/png"}));
      document.body.dispatchEvent(new DragEvent(kind, {dataTransfer: files, bubbles: true, cancelable: true}));
    }"""
    page.evaluate(drag, "dragover")
    assert page.locator("#landing").is_visible()
    page.evaluate(drag, "dragleave")
    assert page.locator("#landing").is_hidden()


@pytest.mark.parametrize("look", [{"color_scheme": "light"}, {"color_scheme": "dark", "viewport": PHONE}])
def test_axe_finds_nothing(browser: Any, address: str, medium: Path, look: dict[str, Any]) -> None:
    axe = pytest.importorskip("axe_playwright_python.sync_playwright", reason="asks axe-core").Axe()
    context = browser.new_context(bypass_csp=True, **look)  # the script comes from the test
    page = context.new_page()
    page.set_default_timeout(60_000)
    page.goto(address)

    def check() -> None:
        found = axe.run(page).response["violations"]
        assert not found, [(one["id"], [node["html"] for node in one["nodes"]]) for one in found]

    check()
    hold(page, medium)
    stroke(page, (0.3, 0.3), (0.5, 0.3))
    page.locator("#samples").select_option("2")
    fill(page)
    for details in page.locator("summary").all():
        details.click()
    page.locator("#grips").wait_for()
    check()
    page.keyboard.press("Escape")
    page.keyboard.press("c")
    check()
    page.keyboard.press("?")
    page.locator("#sheet-of-keys").wait_for()
    check()
    context.close()


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
