"""`invertfill serve` as a command: its port, its log, its browser. What it answers: test_serve.py."""

from __future__ import annotations

import os
import pty
import select
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from conftest import environment, start

pytest.importorskip("fastapi", reason="needs the app extra")
pytestmark = pytest.mark.slow


@contextmanager
def server(model: Path, *options: str, **how: object) -> Iterator[subprocess.Popen[str]]:
    command = [sys.executable, "-m", "invertfill", "serve", "--model", str(model), *options]
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "env": environment()} | how
    with subprocess.Popen(command, text=True, **pipes) as process:
        try:
            yield process
        finally:
            process.kill()


def test_the_next_port_where_the_first_is_taken(tiny_model_folder: Path) -> None:
    try:
        taken = socket.create_server(("127.0.0.1", 8000))
    except OSError:  # somebody else has it already, which is as good
        taken = socket.socket()
    with taken, server(tiny_model_folder) as process:
        assert process.stdout
        address = process.stdout.readline().split()[0]
        assert 8000 < int(address.strip("/").rpartition(":")[2]) < 8020
        assert urllib.request.urlopen(f"{address}healthz", timeout=30).status == 200


def test_a_port_that_was_asked_for_and_is_taken(tiny_model_folder: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        result = start("serve", "--model", tiny_model_folder, "--port", port)
    assert (
        result.returncode == 2 and result.stderr.count("\n") == 1 and f"{port}: can't be listened on" in result.stderr
    )


@pytest.mark.parametrize("verbose", [True, False])
def test_requests_are_logged_on_request(tiny_model_folder: Path, verbose: bool) -> None:
    with server(tiny_model_folder, "--port", "0", *(["-v"] if verbose else [])) as process:
        assert process.stdout and process.stderr
        urllib.request.urlopen(f"{process.stdout.readline().split()[0]}healthz", timeout=30)
        process.send_signal(signal.SIGINT)
        assert process.wait(60) == 0
        assert ("GET /healthz" in process.stderr.read()) == verbose
        assert process.stdout.read() == ""


@pytest.mark.parametrize(
    ("options", "more", "opened"),
    [([], {}, True), (["--no-open"], {}, False), ([], {"DISPLAY": ""}, False), ([], {"SSH_CONNECTION": "a"}, False)],
)
def test_the_browser_opens_on_a_desktop(
    tiny_model_folder: Path, tmp_path: Path, options: list[str], more: dict[str, str], opened: bool
) -> None:
    browser = tmp_path / "browser"
    browser.write_text(f'#!/bin/sh\necho "$1" > "{tmp_path}/opened"\n')
    browser.chmod(0o700)
    desktop = {"DISPLAY": ":9", "BROWSER": str(browser)} | more
    env = {name: value for name, value in environment().items() if name not in ("SSH_CONNECTION", "WAYLAND_DISPLAY")}
    ours, theirs = pty.openpty()
    with server(tiny_model_folder, "--port", "0", *options, stdout=theirs, env=env | desktop):
        os.close(theirs)
        assert select.select([ours], [], [], 120)[0]
        address = os.read(ours, 1000).decode().split()[0]
        for _ in range(50 if opened else 10):
            if (tmp_path / "opened").exists() and (tmp_path / "opened").read_text().strip():
                break
            time.sleep(0.1)
        assert (tmp_path / "opened").exists() == opened
        assert not opened or (tmp_path / "opened").read_text().strip() == address
    os.close(ours)
