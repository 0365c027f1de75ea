"""The pictures of the page in docs/serve.md, made anew: a real server, a real Chromium, the photographs in examples/.

    python tools/page_shots.py            # writes docs/images/serve*.jpg; look at them before you commit them

Needs the extras app and dev, and a Chromium or Chrome on the PATH.
"""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

from playwright.sync_api import sync_playwright

ROOT = Path(__file__).parent.parent
EXAMPLES, IMAGES = ROOT / "examples", ROOT / "docs/images"
BROWSERS = ("chromium", "chromium-browser", "google-chrome", "chrome")
DESKTOP = {"viewport": {"width": 1280, "height": 760}}
PHONE = {"viewport": {"width": 390, "height": 780}, "color_scheme": "dark", "has_touch": True, "is_mobile": True}
PATIENCE = 120_000  # ms, for a fill


def main() -> None:
    server = [sys.executable, "-m", "invertfill", "serve", "--port", "0"]
    with subprocess.Popen(server, stdout=subprocess.PIPE, text=True) as process, sync_playwright() as driver:
        assert process.stdout
        address = process.stdout.readline().split()[0]
        found = next(filter(None, map(shutil.which, BROWSERS)), None)
        browser = driver.chromium.launch(executable_path=found, args=["--no-sandbox"])

        def visit(photo: str, model: str, options: dict[str, Any]) -> Any:
            page = browser.new_context(**options).new_page()
            page.set_default_timeout(PATIENCE)
            page.goto(address)
            page.locator("#file").set_input_files(EXAMPLES / photo)
            page.locator("#asking").wait_for()
            page.locator("#model").select_option(model)
            return page

        page = visit("portrait-astronaut.png", "faces-256", DESKTOP)
        draw(page, (0.3, 0.45), (0.46, 0.45))
        draw(page, (0.56, 0.45), (0.72, 0.45))
        shoot(page, "serve")

        page = visit("landscape-aitzgorri.png", "scenery-256", DESKTOP)
        page.keyboard.press("l")  # around the dark tree
        draw(page, (0.77, 0.71), (0.8, 0.5), (0.86, 0.38), (0.91, 0.5), (0.93, 0.71))
        page.locator("#samples").select_option("4")
        page.locator("#go").click()
        page.locator("#film button:enabled").nth(1).wait_for()
        page.keyboard.press("c")
        page.mouse.move(*at(page, 0.86, 0.9))
        page.mouse.wheel(0, -150)
        line = page.locator("#line").bounding_box()
        page.mouse.move(line["x"] + line["width"] / 2, line["y"] + 60)
        page.mouse.down()
        page.mouse.move(at(page, 0.86, 0)[0], line["y"] + 60, steps=4)
        page.mouse.up()
        shoot(page, "serve-result")

        page = visit("landscape-sunset.png", "scenery-256", PHONE)
        page.locator("#extending summary").click()
        page.locator("#chips").get_by_text("4:3").click()
        page.locator("#extending").evaluate("one => one.scrollIntoView()")
        shoot(page, "serve-phone")
        browser.close()
        process.terminate()


def at(page: Any, x: float, y: float) -> tuple[float, float]:
    """On the screen, of shares of the photo's sides."""
    box = page.locator("#photo").bounding_box()
    return box["x"] + x * box["width"], box["y"] + y * box["height"]


def draw(page: Any, *points: tuple[float, float]) -> None:
    page.mouse.move(*at(page, *points[0]))
    page.mouse.down()
    for point in points[1:]:
        page.mouse.move(*at(page, *point), steps=8)
    page.mouse.up()


def shoot(page: Any, name: str) -> None:
    page.wait_for_timeout(300)
    page.screenshot(path=IMAGES / f"{name}.jpg", type="jpeg", quality=82)


if __name__ == "__main__":
    main()
