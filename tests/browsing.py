"""A real browser, and what people do on the page in it."""

from __future__ import annotations

import os
import shutil
from pathlib import Path
from typing import Any

import pytest

BROWSERS = ("chromium", "chromium-browser", "google-chrome", "chrome")
SHOTS = os.environ.get("INVERTFILL_SHOTS")  # a folder that gets pictures of the page, to be looked at
INSECURE = "site.example"  # a name that leads here, and which browsers don't trust as they do localhost
ARGUMENTS = ["--no-sandbox", "--disable-gpu", f"--host-resolver-rules=MAP {INSECURE} 127.0.0.1"]


def launched(driver: Any) -> Any:
    """Chromium or Chrome, by Playwright's driver."""
    found = next(filter(None, map(shutil.which, BROWSERS)), None)
    if found is None:
        pytest.skip(f"needs a browser: {', '.join(BROWSERS)}")
    # Without its sandbox, which root isn't allowed; nothing but our own page is opened.
    return driver.chromium.launch(executable_path=found, args=ARGUMENTS)


def shoot(page: Any, name: str) -> None:
    if SHOTS:
        page.screenshot(path=Path(SHOTS) / f"{name}.png")


def hold(page: Any, path: Path) -> None:
    """Choose a photo."""
    page.locator("#file").set_input_files(path)
    page.locator("#asking").wait_for()


def spot(page: Any, x: float, y: float) -> tuple[float, float]:
    """On the screen, of shares of the photo's sides."""
    box = page.locator("#photo").bounding_box()
    return box["x"] + x * box["width"], box["y"] + y * box["height"]


def stroke(page: Any, *points: tuple[float, float]) -> None:
    """Paint through points, given as shares of the photo's sides."""
    places = [spot(page, x, y) for x, y in points]
    page.mouse.move(*places[0])
    page.mouse.down()
    for place in places[1:]:
        page.mouse.move(*place, steps=8)
    page.mouse.up()


def fill(page: Any) -> None:
    """Press the button and wait for one more step."""
    steps = page.locator("#film button").count()
    page.locator("#go").click()
    page.locator("#film button:enabled").nth(steps).or_(page.locator("#wrong p")).first.wait_for()
    assert page.locator("#wrong").inner_text() == ""


def shown(page: Any) -> str:
    """The step that is seen."""
    title: str = page.locator("#film [aria-current]").inner_text().strip()
    return title


def download(page: Any, to: Path, button: str = "#download") -> Path:
    with page.expect_download() as wait:
        page.locator(button).click()
    path = to / wait.value.suggested_filename
    wait.value.save_as(path)
    return path
