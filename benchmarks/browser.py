"""The page without a server, in Chromium: seconds until the first fill and for each one, and memory; beside Python's.

    python benchmarks/browser.py --runtime FOLDER --fills 3

Fills examples/landscape-aitzgorri.png, its own size and a JPEG of 12 megapixels of it, with a hole of 1 % in either, in
the browser and by Python in turn, on the same cores. Linux only: memory is read from /proc. Needs the extra dev and a
Chromium or Chrome on the PATH.
"""

from __future__ import annotations

import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Annotated, Any

import numpy as np
from PIL import Image
from playwright.sync_api import expect, sync_playwright
from typer import Option

import invertfill
from invertfill.browser.build import GENERAL, build_site
from invertfill.cli import run

EXAMPLE = Path(__file__).parent.parent / "examples/landscape-aitzgorri.png"
BROWSERS = ("chromium", "chromium-browser", "google-chrome", "chrome")
LARGE = (4000, 3000)
SHARE = 0.1  # of a picture's sides: the hole's
PATIENCE = 600_000  # ms
# Watched within the page: Playwright looks every half second.
CLICK_AND_WAIT = """() => new Promise((resolve) => {
    const film = document.getElementById("film"), start = performance.now();
    new MutationObserver((_, observer) => {
        if (film.querySelectorAll("button:enabled").length < 2) return;
        observer.disconnect();
        requestAnimationFrame(() => resolve((performance.now() - start) / 1000));
    }).observe(film, { subtree: true, childList: true, attributes: true });
    document.getElementById("go").click();
})"""


def main(
    runtime: Annotated[Path | None, Option(help="As of `invertfill site`.")] = None,
    fills: Annotated[int, Option(min=1, help="Of each picture, after the first.")] = 3,
) -> None:
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        pictures = write_pictures(folder)
        site = build_site(folder / "site", runtime)
        serve = [sys.executable, "-u", "-m", "http.server", "0", "--bind", "127.0.0.1", "--directory", str(site.folder)]
        with (
            subprocess.Popen(serve, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True) as server,
            sync_playwright() as driver,
        ):
            assert server.stdout
            address = f"http://127.0.0.1:{server.stdout.readline().split('port ')[1].split()[0]}/"
            found = next(filter(None, map(shutil.which, BROWSERS)), None)
            browser = driver.chromium.launch(executable_path=found, args=["--no-sandbox", "--disable-gpu"])
            try:
                measure(browser, address, pictures, fills, site.first)
            finally:
                browser.close()
                server.kill()


def measure(browser: Any, address: str, pictures: list[tuple[Path, Path]], fills: int, first: int) -> None:
    inpainter = invertfill.load(GENERAL)
    page = browser.new_context().new_page()
    page.set_default_timeout(PATIENCE)
    expect.set_options(timeout=PATIENCE)
    page.goto(address)
    page.locator("#model option").first.wait_for(state="attached")
    print(f"| what | browser, s | Python, s | ratio |\n|---|---|---|---|\n| download, MB | {first / 1e6:.0f} | | |")
    for number, (picture, mask) in enumerate(pictures):
        took = in_browser(page, picture, mask)
        if number == 0:
            print(f"| first fill, with all that is downloaded from this machine | {took:.1f} | | |")
            page.reload()
            page.locator("#model option").first.wait_for(state="attached")
            print(f"| first fill of a later visit | {in_browser(page, picture, mask):.1f} | | |")
        times = [(in_browser(page, picture, mask), by_python(inpainter, picture, mask)) for _ in range(fills)]
        here, there = (statistics.median(column) for column in zip(*times, strict=True))
        width, height = Image.open(picture).size
        what = f"a fill, {width} x {height} {picture.suffix[1:].upper()}"
        print(f"| {what} | {here:.2f} | {there:.2f} | {here / there:.2f} |")
    print(f"| most memory of the page's process, MB | {memory(browser):.0f} | | |")


def write_pictures(folder: Path) -> list[tuple[Path, Path]]:
    """Picture and mask of the small one and of the large one."""
    given, pairs = Image.open(EXAMPLE), []
    for size, suffix in ((given.size, "png"), (LARGE, "jpg")):
        picture, mask = folder / f"{size[0]}.{suffix}", folder / f"{size[0]}-mask.png"
        given.convert("RGB").resize(size, Image.Resampling.LANCZOS).save(picture)
        hole = np.zeros(size[::-1], np.uint8)
        x, y, w, h = (round(length * share) for share in (0.4, SHARE) for length in size)
        hole[y : y + h, x : x + w] = 255
        Image.fromarray(hole).save(mask)
        pairs.append((picture, mask))
    return pairs


def in_browser(page: Any, picture: Path, mask: Path) -> float:
    """Seconds from the button to the filled picture on the screen."""
    page.locator("#file").set_input_files(picture)
    if page.locator("#sure[open]").count():
        page.locator("#sure [value=leave]").click()
    expect(page.locator("#film button")).to_have_count(1)  # the new picture alone: the one before it had its fill, too
    page.locator("#mask").set_input_files(mask)
    page.locator("#go:enabled").wait_for()
    return float(page.evaluate(CLICK_AND_WAIT))


def by_python(inpainter: invertfill.Inpainter, picture: Path, mask: Path) -> float:
    """The same work: from files to a file's bytes."""
    start = time.perf_counter()
    inpainter.fill(picture, mask).encode(picture.name)
    return time.perf_counter() - start


def memory(browser: Any) -> float:
    """VmHWM of the largest renderer."""
    processes = browser.new_browser_cdp_session().send("SystemInfo.getProcessInfo")["processInfo"]
    statuses = (Path(f"/proc/{one['id']}/status").read_text() for one in processes if one["type"] == "renderer")
    return max(int(status.split("VmHWM:")[1].split()[0]) for status in statuses) / 1024


if __name__ == "__main__":
    run(main)
