"""Many pictures: what is done, skipped, refused and reported, and that no death or interrupt loses anything."""

from __future__ import annotations

import json
import multiprocessing
import os
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
from conftest import ROOT, counts
from PIL import Image

from invertfill import cli
from invertfill.batch.jobs import Job, expand
from invertfill.batch.manifest import FOLDER
from invertfill.batch.run import _first_interrupt, _interrupts_wait, run
from invertfill.batch.work import Record
from invertfill.options import FillOptions

pytestmark = pytest.mark.slow

Batch = Callable[..., tuple[int, str, str]]


@pytest.fixture
def batch(capsys: pytest.CaptureFixture[str], tiny_model_folder: Path) -> Batch:
    """The command in this process: status, output, errors."""

    def batch(*arguments: object, command: str = "batch") -> tuple[int, str, str]:
        with pytest.raises(SystemExit) as end:
            cli.main([command, "--model", str(tiny_model_folder), *map(str, arguments)])
        assert isinstance(end.value.code, int)
        return end.value.code, *capsys.readouterr()

    return batch


@pytest.fixture
def folders(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """pictures/{a,b,sub/c}.png of noise, and a mask for each in masks/; the working folder."""
    make_pictures(tmp_path, ["a", "b", "sub/c"])
    monkeypatch.chdir(tmp_path)
    return tmp_path


def make_pictures(folder: Path, names: list[str], size: tuple[int, int] = (40, 24)) -> None:
    rng = np.random.default_rng(2)
    hole = Image.new("L", size)
    hole.paste(255, (6, 4, 18, 12))
    for name in names:
        for kind in ("pictures", "masks"):
            (folder / kind / name).parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(rng.integers(0, 256, (*size[::-1], 3), np.uint8)).save(folder / "pictures" / f"{name}.png")
        hole.save(folder / "masks" / f"{name}.png")


def make_slow_picture(picture: str, mask: str) -> None:
    """A job of seconds on any machine, long enough for signals to come in the middle: writing noise takes time."""
    size = (10_000, 10_000)
    image, hole = Image.frombytes("L", size, os.urandom(size[0] * size[1])), Image.new("L", size)
    hole.paste(255, (100, 100, 200, 200))
    image.save(picture, compress_level=0)
    hole.save(mask, compress_level=1)


def results(folder: Path) -> dict[str, bytes]:
    """The files of a folder of results, without the manifest and what a killed process was writing."""
    files = sorted(path for path in folder.rglob("*") if path.is_file() and not path.name.startswith(".invertfill-"))
    return {str(path.relative_to(folder)): path.read_bytes() for path in files if path.parent.name != FOLDER}


ALL = ("pictures", "--masks", "masks", "--recursive", "-o", "out")


def test_results_are_those_of_fill_however_many_work(batch: Batch, folders: Path) -> None:
    status, out, errors = batch(*ALL, "--workers", 2)
    assert (status, counts(out), errors) == (0, (3, 0, 0), "")
    assert batch(*ALL[:-1], "one", "--workers", 1)[0] == 0
    for name in ("a", "b", "sub/c"):
        arguments = (f"pictures/{name}.png", "--mask", f"masks/{name}.png", "-o", f"single/{name}.png")
        assert batch(*arguments, command="fill")[0] == 0
    assert results(Path("out")) == results(Path("one")) == results(Path("single"))
    assert len(results(Path("out"))) == 3


def test_what_is_done_is_skipped_and_what_has_changed_is_done_again(batch: Batch, folders: Path) -> None:
    options = (*ALL, "--workers", 1)
    assert batch(*options)[0] == 0
    first = results(Path("out"))
    times = [path.stat().st_mtime_ns for path in Path("out").rglob("*.png")]
    assert counts(batch(*options)[1])[:2] == (0, 3)
    assert [path.stat().st_mtime_ns for path in Path("out").rglob("*.png")] == times

    Path("out/a.png").write_bytes(first["a.png"][:-20])  # damaged
    Path("out/b.png").unlink()  # lost
    assert counts(batch(*options)[1])[:2] == (2, 1)
    assert results(Path("out")) == first

    shutil.copy("pictures/b.png", "pictures/a.png")  # another picture, and later another mask
    assert counts(batch(*options)[1])[:2] == (1, 2)
    assert results(Path("out"))["a.png"] == first["b.png"]
    Image.new("L", (40, 24), 255).save("masks/a.png")
    assert counts(batch(*options)[1])[:2] == (1, 2)
    assert counts(batch(*options, "--seed", 5)[1])[:2] == (3, 0)


def test_moved_results_are_known_and_a_manifest_cut_short_costs_one(batch: Batch, folders: Path) -> None:
    assert batch(*ALL, "--workers", 1)[0] == 0
    Path("out").rename("moved")
    (manifest,) = Path("moved", FOLDER).iterdir()
    manifest.write_bytes(manifest.read_bytes()[:-30])
    _, out, _ = batch(*ALL[:-1], "moved", "--workers", 1)
    assert counts(out)[:2] == (1, 2)


def test_files_of_others_are_not_overwritten(batch: Batch, folders: Path) -> None:
    Path("out").mkdir()
    Path("out/b.png").write_text("precious")
    status, _, errors = batch(*ALL)
    assert status == 2 and "out/b.png" in errors
    assert [path.name for path in Path("out").iterdir()] == ["b.png"]  # found before any work

    Path("out/b.png").rename("b.png")
    batch(*ALL, "--workers", 1)
    shutil.rmtree(Path("out", FOLDER))
    Path("out", FOLDER).mkdir()  # as if the first run had been killed before it noted anything
    Path("b.png").rename("out/b.png")
    status, out, errors = batch(*ALL, "--workers", 1)
    assert status == 1 and counts(out) == (2, 0, 1) and "out/b.png" in errors
    assert Path("out/b.png").read_text() == "precious"
    assert counts(batch(*ALL, "--workers", 1, "--overwrite")[1])[:2] == (1, 2)


def test_bad_files_stop_nothing_and_are_reported(batch: Batch, folders: Path) -> None:
    Path("pictures/a.png").write_text("no picture")
    Path("masks/sub/c.png").unlink()
    status, out, errors = batch(*ALL, "--report", "new/report.jsonl", "--workers", 1)
    assert status == 1 and counts(out) == (1, 0, 2)
    bad = [line for line in errors.splitlines() if line.startswith("not filled: ")]
    assert len(bad) == 2 and "a.png" in bad[0] and "c.png" in bad[1]
    report = {line["image"]: line for line in map(json.loads, Path("new/report.jsonl").read_text().splitlines())}
    assert {name: line["status"] for name, line in report.items()} == {
        "pictures/a.png": "failed",
        "pictures/b.png": "filled",
        "pictures/sub/c.png": "failed",
    }
    assert {name: line["model"] for name, line in report.items() if line["model"]} == {"pictures/b.png": "tiny"}
    assert "accepted" in report["pictures/a.png"]["reason"] and report["pictures/b.png"]["mask"] == "masks/b.png"

    shutil.copy("pictures/b.png", "pictures/a.png")
    shutil.copy("masks/b.png", "masks/sub/c.png")
    assert counts(batch(*ALL, "--workers", 1)[1]) == (2, 1, 0)


@pytest.mark.parametrize("kind", ["csv", "jsonl"])
def test_lists(batch: Batch, folders: Path, kind: str) -> None:
    holed = np.dstack([np.asarray(Image.open("pictures/b.png")), 255 - np.asarray(Image.open("masks/b.png"))])
    Image.fromarray(holed).save("lists.png")
    rows = [
        {"image": "../pictures/a.png", "mask": "../masks/a.png", "out": "deep/ä.png"},
        {"image": str(folders / "lists.png"), "mask": "", "out": str(folders / "elsewhere" / "b.png")},
    ]
    Path("lists").mkdir()
    path = Path("lists", f"x.{kind}")
    if kind == "csv":
        lines = ["out,more,image,mask", *(f"{row['out']},1,{row['image']},{row['mask']}" for row in rows)]
        path.write_text("\r\n".join(lines), encoding="utf-8-sig")
    else:
        path.write_text("\n\n".join(map(json.dumps, rows)))
    status, out, _ = batch(path, "-o", "out", "--workers", 1)
    assert (status, counts(out)) == (0, (2, 0, 0))
    assert batch("pictures/a.png", "--mask", "masks/a.png", "-o", "a.png", command="fill")[0] == 0
    assert Path("out/deep/ä.png").read_bytes() == Path("a.png").read_bytes()
    assert Image.open("elsewhere/b.png").mode == "RGBA"
    assert counts(batch(path, "-o", "out", "--workers", 1)[1])[:2] == (0, 2)


def test_globs_keep_subfolders_and_ignore_hidden_files(batch: Batch, folders: Path) -> None:
    Path("pictures/._a.png").write_text("what macOS leaves")
    Path("pictures/notes.txt").touch()
    for pattern, names in (("pictures/*", ["a.png", "b.png"]), ("pictures/**/*.png", ["a.png", "b.png", "sub/c.png"])):
        out = f"out{len(names)}"
        assert batch(pattern, "--masks", "masks", "-o", out, "--workers", 1)[0] == 0
        assert list(results(Path(out))) == names


BAD = {
    "nothing there": ("none -o out", "none: no such file or folder; accepted: a folder of pictures, a glob"),
    "one file": ("pictures/a.png -o out", "pictures/a.png: one file; accepted: a folder of pictures, a glob"),
    "empty folder": ("empty -o out", "empty: a folder without images"),
    "glob of nothing": ("pictures/*.tif -o out", "pictures/*.tif: matches no images"),
    "no masks": ("pictures --masks none -o out", "none: no such file; accepted: a mask"),
    "empty masks": ("pictures --masks empty -o out", "empty: a folder without images"),
    "two masks": ("pictures --masks two -o out", "two/a.png: a second mask of its name, beside two/a.bmp"),
    "two to one": ("twice.csv -o out", "out/c.png: the result of both pictures/a.png and pictures/b.png"),
    "in place": ("pictures --masks masks/a.png -o ./pictures/", "the folder of the pictures or masks themselves"),
    "inside": ("pictures --masks masks --recursive -o pictures/out", "pictures/out: inside pictures"),
    "over a picture": ("self.csv -o out", "out/../pictures/a.png: a picture or mask itself"),
    "over a mask": ("mask.csv -o out", "masks/a.png: a picture or mask itself"),
    "no column": ("column.csv -o out", "column.csv: no column 'out'; accepted: a first line that names image, out"),
    "no value": ("value.csv -o out", "value.csv, line 3: no out"),
    "bad suffix": ("suffix.csv -o out", "suffix.csv, line 2: b.psd: not an image file name that can be written"),
    "not UTF-8": ("latin.csv -o out", "latin.csv: not UTF-8"),
    "empty list": ("empty.jsonl -o out", "empty.jsonl: an empty list"),
    "no JSON": ("broken.jsonl -o out", "broken.jsonl, line 2: not JSON"),
    "no object": ("array.jsonl -o out", "array.jsonl, line 1: no JSON object"),
    "no path": ("number.jsonl -o out", "number.jsonl, line 1: mask is 3"),
    "masks twice": ("self.csv --masks masks -o out", "self.csv: a list names its own masks"),
    "recursive list": ("self.csv --recursive -o out", "self.csv: --recursive; accepted: with a folder"),
    "no list": ("none.csv -o out", "none.csv: no such file"),
    "unknown protocol": ("nowhere://a -o out", "nowhere://a: cannot be opened"),
    "model": ("pictures --masks masks -o out --model faces-9", "faces-9: unknown model"),
    "device": ("pictures --masks masks -o out --device mps --engine onnx", "device 'mps' with engine onnx"),
    "address alone": ("pictures --masks masks -o out --address auto", "accepted: together with --cluster"),
    "out is a file": ("pictures --masks masks -o self.csv", "self.csv: not a folder; accepted: a folder"),
    "report": ("pictures --masks masks -o out --report self.csv/x", "self.csv: not a folder that can be written to"),
}


@pytest.mark.parametrize("case", BAD)
def test_bad_input_is_one_line_before_any_work(case: str, batch: Batch, folders: Path) -> None:
    if "://" in BAD[case][0]:
        pytest.importorskip("fsspec")
    for name in ("empty", "two"):
        Path(name).mkdir()
    Image.open("masks/a.png").save("two/a.bmp")
    shutil.copy("masks/a.png", "two")
    Path("self.csv").write_text("image,out\npictures/b.png,../pictures/a.png\npictures/a.png,a.png\n")
    Path("twice.csv").write_text("image,out\npictures/a.png,c.png\npictures/b.png,c.png\n")
    Path("mask.csv").write_text(f"image,mask,out\npictures/b.png,masks/a.png,{folders / 'masks' / 'a.png'}\n")
    Path("column.csv").write_text("image,output\na,b\n")
    Path("value.csv").write_text("image,out\na.png,a.png\nb.png\n")
    Path("suffix.csv").write_text("image,out\na.png,b.psd\n")
    Path("latin.csv").write_bytes("image,out\nä.png,b.png\n".encode("latin-1"))
    Path("empty.jsonl").write_text("\n")
    Path("broken.jsonl").write_text('{"image": "a.png", "out": "b.png"}\n{"image": \n')
    Path("array.jsonl").write_text('["a.png", "b.png"]')
    Path("number.jsonl").write_text('{"image": "a.png", "out": "b.png", "mask": 3}')
    before = results(folders)

    arguments, message = BAD[case]
    status, out, errors = batch(*arguments.split(), "--workers", 1)
    assert (status, out) == (2, "")
    assert errors.startswith("invertfill: ") and message in errors and errors.count("\n") == 1
    assert results(folders) == before


def test_addresses(batch: Batch, folders: Path) -> None:
    """Of any kind that fsspec knows; memory:// is one that needs no server, but lives in one process."""
    fsspec = pytest.importorskip("fsspec")
    fs = fsspec.filesystem("memory")
    for kind in ("pictures", "masks"):
        fs.put(str(folders / kind), f"/{folders.name}/{kind}", recursive=True)
    there = f"memory://{folders.name}"
    assert batch(*ALL, "--workers", 1)[0] == 0
    options = ("--masks", f"{there}/masks", "--workers", 1)
    for _ in range(2):
        status, out, _ = batch(f"{there}/pictures", "--recursive", *options, "-o", f"{there}/out")
        assert status == 0
    assert counts(out)[:2] == (0, 3)
    assert batch(f"{there}/pictures/**/*.png", *options, "-o", "globbed")[0] == 0
    wanted = results(Path("out"))
    assert results(Path("globbed")) == wanted
    assert {name: fs.cat_file(f"/{folders.name}/out/{name}") for name in wanted} == wanted
    assert batch(folders.as_uri() + "/pictures", "--masks", "masks", "-o", "plain", "--workers", 1)[0] == 0
    assert results(Path("plain")) == {name: data for name, data in wanted.items() if "/" not in name}


def test_a_killed_process_loses_nothing(folders: Path, tiny_model_folder: Path) -> None:
    make_pictures(folders, [f"{i:02d}" for i in range(10)])
    jobs = expand("pictures", "out", "masks")
    killed = []

    def kill_one(record: Record) -> None:
        if not killed:
            killed.append(multiprocessing.active_children()[0])
            killed[0].kill()

    options = FillOptions(str(tiny_model_folder))
    summary = run(jobs, options, workers=2, out="out", each=kill_one)
    assert killed and (summary.filled, summary.failed, summary.left) == (12, [], 0)
    run(expand("pictures", "one", "masks"), options, workers=1, out="one")
    assert results(Path("out")) == results(Path("one"))


def test_a_job_that_kills_its_process_fails_alone(folders: Path, tiny_model_folder: Path) -> None:
    make_slow_picture("slow.png", "slow-mask.png")  # so that its process can be killed for certain
    deadly = Job("slow.png", "slow-mask.png", "out/slow.png")
    jobs = [deadly, *expand("pictures", "out", "masks")]
    others = threading.Event()

    def kill_twice() -> None:
        before: set[int | None] = set()
        others.wait(60)
        for _ in range(2):
            while not (children := [c for c in multiprocessing.active_children() if c.pid not in before]):
                time.sleep(0.01)
            before = {child.pid for child in children}
            for child in children:
                child.kill()

    killer = threading.Thread(target=kill_twice, daemon=True)
    killer.start()
    ended: list[str] = []
    summary = run(
        jobs,
        FillOptions(str(tiny_model_folder)),
        workers=2,
        out="out",
        each=lambda record: ended.append(record.job.out) or (others.set() if len(ended) == 2 else None),  # type: ignore
    )
    killer.join()
    assert summary.filled == 2 and [record.job for record in summary.failed] == [deadly]
    assert "died twice" in summary.failed[0].reason


@pytest.fixture
def start(tiny_model_folder: Path) -> Iterator[Callable[..., subprocess.Popen]]:
    """Run the real thing, in a process group of its own that gets what a terminal sends on Ctrl-C."""
    started = []

    def start(*arguments: object) -> subprocess.Popen:
        path = os.pathsep.join(filter(None, [str(ROOT / "src"), os.environ.get("PYTHONPATH")]))
        command = [sys.executable, "-m", "invertfill", "batch", "--model", tiny_model_folder, *arguments]
        started.append(
            subprocess.Popen(
                [str(part) for part in command],
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                text=True,
                env={**os.environ, "PYTHONPATH": path, "RAY_worker_niceness": "0"},
                start_new_session=True,
            )
        )
        return started[-1]

    yield start
    for process in started:
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()


def wait_for(happened: Callable[[], object], process: subprocess.Popen, seconds: float = 120) -> None:
    end = time.monotonic() + seconds
    while not happened():
        assert process.poll() is None and time.monotonic() < end, process.communicate()
        time.sleep(0.005)


@pytest.mark.parametrize("workers", [1, 2])
def test_ctrl_c_finishes_what_is_in_hand_and_the_same_command_goes_on(
    workers: int, start, batch: Batch, folders: Path
) -> None:
    make_pictures(folders, [f"{i:03d}" for i in range(100)], size=(400, 300))
    arguments = ("pictures", "--masks", "masks", "-o", "out", "--workers", workers)
    process = start(*arguments)
    wait_for(lambda: list(Path("out").glob("*.png")), process)
    os.killpg(process.pid, signal.SIGINT)
    out, errors = process.communicate(timeout=60)
    assert process.returncode == 130 and "Traceback" not in errors
    filled = len(results(Path("out")))
    assert 0 < filled < 102 and counts(out) == (filled, 0, 0, 102 - filled), errors
    assert not any(name.startswith(".") for name in results(Path("out")))
    assert counts(batch(*arguments[:-1], 1)[1]) == (102 - filled, filled, 0)


@pytest.mark.skipif(sys.platform == "win32", reason="interrupts can't be held back")
def test_ctrl_c_is_not_lost_while_a_process_starts() -> None:
    with _first_interrupt(lambda: None) as asked:
        with _interrupts_wait():
            child = subprocess.Popen(
                [sys.executable, "-c", "import time; print(flush=True); time.sleep(0.2)"], stdout=subprocess.PIPE
            )
            assert child.stdout is not None and child.stdout.readline()  # Python runs, and would hear of it
            child.send_signal(signal.SIGINT)
            signal.raise_signal(signal.SIGINT)
            assert not asked.is_set()
        assert asked.is_set()
    assert child.wait(timeout=30) == 0


@pytest.mark.parametrize("workers", [1, 2])
def test_a_second_ctrl_c_stops_at_once(workers: int, start, folders: Path) -> None:
    make_slow_picture("pictures/bb.png", "masks/bb.png")
    process = start("pictures", "--masks", "masks", "-o", "out", "--workers", workers)
    wait_for(Path("out/b.png").exists, process)
    time.sleep(0.2)  # so that the next job is in hand, and far from its end
    os.killpg(process.pid, signal.SIGINT)
    time.sleep(0.2)
    assert process.poll() is None
    os.killpg(process.pid, signal.SIGINT)
    process.communicate(timeout=30)  # ends only when its workers have closed their ends of the pipes too
    assert process.returncode == 130 and sorted(results(Path("out"))) == ["a.png", "b.png"]


def test_fill_of_a_folder_needs_neither_ray_nor_torch(folders: Path, tiny_model_folder: Path) -> None:
    code = "import sys; sys.modules.update(ray=None, torch=None, fsspec=None); from invertfill.cli import main; main()"
    arguments = ("fill", "pictures", "--mask", "masks", "-o", "out", "--model", tiny_model_folder)
    env = {**os.environ, "PYTHONPATH": str(ROOT / "src")}
    result = subprocess.run([sys.executable, "-c", code, *arguments], capture_output=True, text=True, env=env)
    assert (result.returncode, counts(result.stdout)) == (0, (2, 2)), result.stderr


def test_the_extra_is_named_where_ray_is_missing(folders: Path, tiny_model_folder: Path) -> None:
    code = "import sys; sys.modules['ray'] = None; from invertfill.cli import main; main()"
    arguments = ("batch", *ALL, "--cluster", "--model", tiny_model_folder)
    env = {**os.environ, "PYTHONPATH": str(ROOT / "src")}
    result = subprocess.run([sys.executable, "-c", code, *arguments], capture_output=True, text=True, env=env)
    assert result.returncode == 2 and not Path("out").exists()
    assert result.stderr == 'invertfill: ray is not installed; --cluster needs pip install ".[cluster]"\n'


def test_a_cluster_with_a_killed_worker_gives_what_one_process_gives(start, batch: Batch, folders: Path) -> None:
    """A real Ray cluster of two workers on this machine; one is killed when the first results are there."""
    pytest.importorskip("ray", reason="the cluster extra is not installed")
    psutil = pytest.importorskip("psutil", reason="finds Ray's processes")
    make_pictures(folders, [f"{i:02d}" for i in range(60)], size=(400, 300))
    process = start(*ALL[:-1], "cluster", "--workers", 2, "--cluster", "--report", "report.jsonl")

    def workers() -> list:
        family = psutil.Process(process.pid).children(recursive=True)
        return [one for one in family if "MapWorker" in " ".join(one.cmdline())]

    wait_for(lambda: len(list(Path("cluster").glob("*.png"))) > 2, process, 300)
    before = workers()
    assert len(before) == 2
    before[0].kill()
    assert len(results(Path("cluster"))) < 40  # in the middle
    out, errors = process.communicate(timeout=300)
    assert process.returncode == 0 and counts(out) == (63, 0, 0), errors
    assert {json.loads(line)["status"] for line in Path("report.jsonl").read_text().splitlines()} == {"filled"}

    assert batch(*ALL, "--workers", 1)[0] == 0
    assert results(Path("cluster")) == results(Path("out")) and len(results(Path("out"))) == 63
    assert counts(batch(*ALL[:-1], "cluster", "--workers", 1)[1])[:2] == (0, 63)
