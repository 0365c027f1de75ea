"""Where pictures are written: links, odd names, full disks, read-only folders, a process that is killed meanwhile."""

from __future__ import annotations

import os
import resource
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
from conftest import Result, assert_filled, assert_one_line, counts, environment, pixels, start
from PIL import Image

from invertfill.errors import InputError
from invertfill.imaging.formats import list_images
from invertfill.imaging.reading import open_image
from invertfill.imaging.writing import save_image

pytestmark = pytest.mark.slow

Command = Callable[..., Result]
NAMES = [
    "two words.png",
    "-o.png",
    "--mask.png",
    "line\nbreak.png",
    "ü😀.png",
    "\x1b[31mred.png",
    "a;b$(c)'\".PNG",
    "%s{0}.png",
]


@pytest.mark.parametrize("name", NAMES, ids=ascii)
def test_odd_names(
    run: Command, photo: Path, mask: Path, tmp_path: Path, tiny_model_folder: Path, name: str, monkeypatch
) -> None:
    monkeypatch.chdir(tmp_path)
    shutil.copy(photo, name)
    arguments = ("fill", "--mask", "mask.png", f"--out=out/{name}", "--model", tiny_model_folder, "--", name)
    assert run(*arguments).status == 0
    assert_filled(photo, mask, tmp_path / "out" / name)
    Path(name).write_bytes(b"damaged")
    assert_one_line(run(*arguments), "accepted")


def test_names_that_are_not_utf8(photo: Path, mask: Path, tmp_path: Path, tiny_model_folder: Path) -> None:
    folder = tmp_path / os.fsdecode(b"\xff\xfe")
    try:
        folder.mkdir()
    except OSError:
        pytest.skip("this file system has no such names")
    shutil.copy(photo, folder / os.fsdecode(b"a\x80.png"))
    (folder / "b.png").write_text("no picture")
    out = tmp_path / os.fsdecode(b"out\xff")
    result = start("fill", folder, "--mask", mask, "-o", out, "--model", tiny_model_folder)
    assert result.returncode == 1 and "Traceback" not in result.stderr
    assert counts(result.stdout.splitlines()[-1]) == (1, 2) and result.stdout.count("\n") == 2
    assert_filled(photo, mask, out / os.fsdecode(b"a\x80.png"))


def test_names_that_are_too_long(fill: Command, photo: Path, mask: Path, tmp_path: Path) -> None:
    long = tmp_path / f"{'a' * 300}.png"
    assert_one_line(fill(long, "--mask", mask, "-o", tmp_path / "out.png"), "aaa.png")
    assert_one_line(fill(photo, "--mask", long, "-o", tmp_path / "out.png"), "aaa.png")
    assert_one_line(fill(photo, "--mask", mask, "-o", long), "too long")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["mask.png", "photo.png"]


def test_links_are_read_through_and_replaced(fill: Command, photo: Path, mask: Path, tmp_path: Path) -> None:
    """A link as the output is replaced, so that what it points to, which may be the input itself, stays as it was."""
    before = photo.read_bytes()
    (tmp_path / "in.png").symlink_to(photo)
    for target in (photo, tmp_path / "none.png", tmp_path / "loop.png"):
        out = tmp_path / "loop.png"
        out.unlink(missing_ok=True)
        out.symlink_to(target)
        if target == photo:  # refused, like the picture itself
            assert_one_line(fill(tmp_path / "in.png", "--mask", mask, "-o", out), out.name)
            shutil.copy(photo, tmp_path / "other.png")
            assert fill(tmp_path / "other.png", "--mask", mask, "-o", out).status == 0
        else:
            assert fill(tmp_path / "in.png", "--mask", mask, "-o", out).status == 0
        assert not out.is_symlink() and photo.read_bytes() == before
        assert_filled(photo, mask, out)
    assert not (tmp_path / "none.png").exists()


def test_links_that_lead_nowhere_pipes_and_devices_end_at_once(
    fill: Command, photo: Path, mask: Path, tmp_path: Path
) -> None:
    os.mkfifo(tmp_path / "pipe.png")
    (tmp_path / "loop.png").symlink_to("loop.png")
    (tmp_path / "dangling.png").symlink_to("none.png")
    (tmp_path / "endless.png").symlink_to("/dev/zero")
    out = tmp_path / "out.png"
    for name in ("pipe", "endless", "loop", "dangling"):
        assert_one_line(fill(tmp_path / f"{name}.png", "--mask", mask, "-o", out), f"{name}.png: ")
        assert_one_line(fill(photo, "--mask", tmp_path / f"{name}.png", "-o", out), f"{name}.png: ")
    for name in ("pipe", "endless"):
        assert_one_line(fill(photo, "--mask", mask, "-o", tmp_path / f"{name}.png"), f"{name}.png: ")
    assert (tmp_path / "pipe.png").is_fifo() and not out.exists()
    assert [path.name for path in list_images(tmp_path)] == ["mask.png", "photo.png"]


def mounted(folder: Path, options: str) -> None:
    if not sys.platform.startswith("linux") or os.geteuid() != 0:
        pytest.skip("needs root on Linux, to mount a file system")
    folder.mkdir()
    if subprocess.run(["mount", "-t", "tmpfs", "-o", options, "none", folder], capture_output=True).returncode:
        pytest.skip("no file system can be mounted here")


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of 64 KiB."""
    mounted(tmp_path / "disk", "size=64k")
    yield tmp_path / "disk"
    subprocess.run(["umount", tmp_path / "disk"], check=True)


@pytest.mark.parametrize("suffix", ["png", "jpg", "webp", "tif", "bmp", "avif"])
def test_full_disk_keeps_the_old_file(disk: Path, capfd: pytest.CaptureFixture[str], suffix: str) -> None:
    small = Image.new("RGB", (8, 8), (1, 2, 3))
    noise = Image.fromarray(np.random.default_rng(0).integers(0, 256, (256, 256, 3), np.uint8))
    path = save_image(small, disk / f"a.{suffix}")
    before = path.read_bytes()
    with pytest.raises(InputError, match=rf"a\.{suffix}: .*No space left"):
        save_image(noise, path)
    assert path.read_bytes() == before and [entry.name for entry in disk.iterdir()] == [path.name]
    assert capfd.readouterr().err == ""  # libraries in C like to speak up


def test_files_that_may_not_grow(tmp_path: Path, photo: Path, mask: Path, tiny_model_folder: Path) -> None:
    """A full disk, where nothing can be mounted: a limit on the size of files."""
    code = f"""
import resource, signal, sys
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (100, {resource.RLIM_INFINITY}))
from invertfill.cli import main
main(sys.argv[1:])
"""
    out = tmp_path / "new" / "out.png"
    result = start("fill", photo, "--mask", mask, "-o", out, "--model", tiny_model_folder, code=code)
    assert result.returncode == 2 and result.stderr.count("\n") == 1
    assert "out.png: " in result.stderr and "too large" in result.stderr
    assert list(out.parent.iterdir()) == []


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs /dev/full")
@pytest.mark.parametrize("unbuffered", ["", "1"])  # what is buffered is written at the end only
def test_full_disk_under_the_list_of_models(unbuffered: str) -> None:
    with open("/dev/full", "w") as full:
        command = [sys.executable, "-m", "invertfill", "models"]
        variables = {**environment(), "PYTHONUNBUFFERED": unbuffered}
        result = subprocess.run(command, stdout=full, stderr=subprocess.PIPE, text=True, env=variables)
    assert result.returncode == 2 and result.stderr.count("\n") == 1 and "No space left" in result.stderr


def test_read_only_folder(tmp_path: Path, fill: Command, photo: Path, mask: Path) -> None:
    """By a mount, since root may write in any other folder."""
    folder = tmp_path / "closed"
    mounted(folder, "ro")
    try:
        for out in (folder / "out.png", folder / "new" / "out.png"):
            assert_one_line(fill(photo, "--mask", mask, "-o", out), "not a folder that can be written to")
        result = fill(tmp_path, "--mask", mask, "-o", folder)
        assert result.status == 2 or "0 of 2 filled" in result.out
    finally:
        subprocess.run(["umount", folder], check=True)


def has_nameless_files(folder: Path) -> bool:
    try:
        os.close(os.open(folder, os.O_TMPFILE | os.O_WRONLY))
    except (AttributeError, OSError):
        return False
    return True


@pytest.mark.parametrize("nameless", [True, False])
@pytest.mark.parametrize("moment", ["file.write(data)", "file.flush()", "os.link(", "os.replace("])
def test_killed_while_writing(
    photo: Path, mask: Path, tmp_path: Path, tiny_model_folder: Path, moment: str, nameless: bool
) -> None:
    """SIGKILL just before each step: the old file is whole; what is left beside, if anything, is hidden and no picture
    to us. Where the file system has files without names, nothing is left until the last step."""
    if nameless and not has_nameless_files(tmp_path):
        pytest.skip("needs a file system with O_TMPFILE")
    if moment == "os.link(" and not nameless:
        pytest.skip("a file that had a name from the beginning gets none")
    out = tmp_path / "out" / "out.png"
    save_image(Image.open(photo), out)
    before = out.read_bytes()
    code = f"""
import inspect, os, sys
from invertfill import cli
from invertfill.imaging import files
{"" if nameless else "vars(os).pop('O_TMPFILE', None)"}
source = inspect.getsource(files.write_file)
assert source.count({moment!r}) == 1
exec(source.replace({moment!r}, "os.kill(os.getpid(), 9); " + {moment!r}), vars(files))
cli.main(sys.argv[1:])
"""
    result = start("fill", photo, "--mask", mask, "-o", out, "--model", tiny_model_folder, code=code)
    assert result.returncode == -signal.SIGKILL
    assert out.read_bytes() == before
    left = [path for path in out.parent.iterdir() if path != out]
    assert len(left) == (0 if nameless and moment != "os.replace(" else 1)
    assert all(path.name.startswith(".invertfill-") for path in left)
    assert list_images(out.parent) == [out]
    assert start("fill", photo, "--mask", mask, "-o", out, "--model", tiny_model_folder).returncode == 0
    assert_filled(photo, mask, out)


def test_killed_at_any_time(tmp_path: Path) -> None:
    """A process that writes one file again and again is killed; the file is one of the two pictures, whole."""
    path = tmp_path / "a.png"
    code = f"""
import numpy as np
from PIL import Image
from invertfill.imaging.writing import save_image
pictures = [Image.fromarray(np.full((200, 200, 3), value, np.uint8)) for value in (0, 255)]
while True:
    for picture in pictures:
        save_image(picture, {str(path)!r})
"""
    for wait in (0.0, 0.011, 0.023):
        process = subprocess.Popen([sys.executable, "-c", code], env=environment())
        deadline = time.monotonic() + 60
        while not path.exists() and time.monotonic() < deadline:
            time.sleep(0.005)
        time.sleep(wait)
        process.kill()
        process.wait()
        assert len(np.unique(np.asarray(open_image(path)))) == 1
        path.unlink()


def test_interrupted(photo: Path, mask: Path, tmp_path: Path, tiny_model_folder: Path) -> None:
    """Ctrl-C while the picture is written: no traceback, nothing left behind."""
    code = """
import os, signal, sys
from invertfill import cli
signal.signal(signal.SIGINT, signal.default_int_handler)  # a job in the background inherits that it is ignored
os.fsync = lambda _: os.kill(os.getpid(), signal.SIGINT)
cli.main(sys.argv[1:])
"""
    out = tmp_path / "new" / "out.png"
    result = start("fill", photo, "--mask", mask, "-o", out, "--model", tiny_model_folder, code=code)
    assert result.returncode != 0 and "Traceback" not in result.stderr
    assert list(out.parent.iterdir()) == []


def test_folder_with_damaged_pictures_fills_the_others(fill: Command, photo: Path, mask: Path, tmp_path: Path) -> None:
    folder = tmp_path / "pictures"
    folder.mkdir()
    shutil.copy(photo, folder / "whole.png")
    (folder / "short.png").write_bytes(photo.read_bytes()[:500])
    (folder / "empty.jpg").touch()
    (folder / "loop.png").symlink_to("loop.png")
    os.mkfifo(folder / "pipe.png")
    result = fill(folder, "--mask", mask, "-o", tmp_path / "out")
    assert result.status == 1 and "1 of 5 filled" in result.out
    assert all(name in result.err for name in ("short.png", "empty.jpg", "loop.png", "pipe.png"))
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["whole.png"]
    assert (pixels(tmp_path / "out" / "whole.png") != pixels(photo)).any()
