"""What is in deploy/: its numbers are the server's own, and the proxies' files work where nginx and Caddy are."""

from __future__ import annotations

import base64
import http.client
import inspect
import json
import re
import shutil
import socket
import ssl
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from conftest import ROOT, serving

pytest.importorskip("fastapi", reason="needs the app extra")

from invertfill.cli.serve import serve
from invertfill.serve.settings import Limits

DEPLOY = ROOT / "deploy"
NAME, TOKEN, PORT = "fill.example.org", "correct horse battery", inspect.signature(serve).parameters["port"].default
SBIN = "/usr/sbin:/usr/local/sbin"


def text(name: str) -> str:
    return (DEPLOY / name).read_text()


def number(pattern: str, name: str) -> int:
    found = re.findall(pattern, text(name))
    assert len(set(found)) == 1, (pattern, found)
    return int(found[0])


def tool(name: str) -> str:
    found = shutil.which(name) or shutil.which(name, path=SBIN)
    if found is None:
        pytest.skip(f"needs {name}")
    return found


def test_numbers_are_the_servers() -> None:
    """nginx, which has a limit in any case, lets pass a little more than the server, whose answer says more."""
    limits = Limits(workers=2)
    megabytes = number(r"client_max_body_size (\d+)m;", "nginx.conf") * 2**20 / 10**6
    assert limits.upload < megabytes < 1.1 * limits.upload
    for seconds in (
        number(r"proxy_(?:read|send)_timeout (\d+)s;", "nginx.conf"),
        number(r"(?:response_header|read)_timeout (\d+)s", "Caddyfile"),
        number(r"TimeoutStopSec=(\d+)", "invertfill.service"),
    ):
        assert limits.seconds < seconds < 1.2 * limits.seconds
    assert number(r"limit_conn invertfill (\d+);", "nginx.conf") == limits.per_client
    assert number(r"--per-client (\d+)", "invertfill.service") == limits.workers + limits.queue
    for sentence in (f"More than {limits.upload} MB;", f"{limits.per_client} requests of yours"):
        assert sentence in text("nginx.conf")
    for pattern, name in (
        (r"127.0.0.1:(\d+)", "nginx.conf"),
        (r"127.0.0.1:(\d+)", "Caddyfile"),
        (r"127.0.0.1:(\d+)/healthz", "Dockerfile"),
        (r"EXPOSE (\d+)", "Dockerfile"),
        (r"--port (\d+)", "invertfill.service"),
    ):
        assert number(pattern, name) == PORT
    for name in ("nginx.conf", "Caddyfile", "invertfill.service"):
        assert NAME in text(name)


@pytest.mark.slow
def test_unit(tmp_path: Path) -> None:
    """systemd reads it without a word, and counts little that it is exposed to: 0 is best, 100 is without any limit."""
    analyze, unit = tool("systemd-analyze"), tmp_path / "invertfill.service"
    unit.write_text(re.sub(r"ExecStart=\S+", f"ExecStart={sys.executable}", text(unit.name)))
    verified = subprocess.run([analyze, "verify", "--man=no", unit], capture_output=True, text=True)
    if "Failed to" in verified.stderr and "manager" in verified.stderr:
        pytest.skip("systemd-analyze can't run here")
    assert (verified.returncode, verified.stderr) == (0, "")
    command = [analyze, "security", "--offline=true", "--threshold=15", unit]
    security = subprocess.run(command, capture_output=True, text=True)
    assert security.returncode == 0, security.stdout[-300:]


def curl(address: str, *options: str) -> str:
    """A client that reads an answer while it still sends, which Python's doesn't."""
    port = address.split("/")[2].rpartition(":")[2]
    given = ["--silent", "--insecure", "--max-time", "60", "--resolve", f"{NAME}:{port}:127.0.0.1"]
    command = [tool("curl"), *given, "--header", f"Authorization: Bearer {TOKEN}", *options, address]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode in (0, 18), done  # 18: Caddy ends the upload with the answer
    return done.stdout


def free() -> int:
    with socket.create_server(("127.0.0.1", 0)) as one:
        return int(one.getsockname()[1])


def nginx(folder: Path, server: int, secure: int, plain: int) -> list[str]:
    site = (
        text("nginx.conf").replace(f"127.0.0.1:{PORT}", f"127.0.0.1:{server}").replace("listen 80;", f"listen {plain};")
    )
    site = re.sub(r"\n *listen \[::\].*", "", site.replace("listen 443", f"listen {secure}"))
    site = re.sub(r"(ssl_certificate\w*) .*;", rf"\1 {folder}/\1.pem;", site)
    command = ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj", f"/CN={NAME}"]
    command += ["-keyout", f"{folder}/ssl_certificate_key.pem", "-out", f"{folder}/ssl_certificate.pem"]
    subprocess.run(command, check=True, capture_output=True)
    (folder / "site.conf").write_text(site)
    paths = "".join(
        f"{kind}_temp_path {folder}/{kind};" for kind in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
    )
    (folder / "main.conf").write_text(
        f"pid {folder}/pid; error_log {folder}/error.log; daemon off; events {{}}\n"
        f"http {{ access_log off; {paths} include {folder}/site.conf; }}\n"
    )
    return [tool("nginx"), "-p", str(folder), "-e", f"{folder}/error.log", "-c", f"{folder}/main.conf"]


def caddy(folder: Path, server: int, secure: int, plain: int) -> list[str]:
    site = text("Caddyfile").replace(f"127.0.0.1:{PORT}", f"127.0.0.1:{server}")
    options = ["admin off", f"http_port {plain}", f"https_port {secure}", "local_certs", "skip_install_trust"]
    options.append(f"storage file_system {folder}")
    (folder / "Caddyfile").write_text("{\n" + "\n".join(options) + f"\n}}\n{site}")
    return [tool("caddy"), "run", "--adapter", "caddyfile", "--config", f"{folder}/Caddyfile"]


@pytest.fixture(params=[nginx, caddy])
def proxied(
    request: pytest.FixtureRequest, tiny_model_folder: Path, tmp_path: Path
) -> Iterator[tuple[subprocess.Popen[str], Callable[..., tuple[int, Any, bytes]]]]:
    """A server behind a proxy, and what asks it through the proxy: status, headers, body."""
    secure, plain = free(), free()
    tool(request.param.__name__)
    options = ("--model", tiny_model_folder, "--workers", 1, "--allow-host", NAME, "--token", TOKEN, "--per-client", 18)
    with serving(*options, "--max-samples", 60) as (server, address):
        command = request.param(tmp_path, int(address.rstrip("/").rpartition(":")[2]), secure, plain)
        trusting = ssl.create_default_context()
        trusting.check_hostname, trusting.verify_mode = False, ssl.CERT_NONE
        with subprocess.Popen(command, stderr=subprocess.DEVNULL, stdout=subprocess.DEVNULL) as proxy:

            def ask(method: str, path: str, body: bytes = b"", **headers: str) -> http.client.HTTPResponse:
                raw = socket.create_connection(("127.0.0.1", secure), timeout=60)
                connection = http.client.HTTPConnection(NAME, secure)
                connection.sock = trusting.wrap_socket(raw, server_hostname=NAME)
                sent = {"Authorization": f"Bearer {TOKEN}", "Content-Type": "application/json", **headers}
                connection.request(method, path, body, sent)
                return connection.getresponse()

            try:
                end = time.monotonic() + 30
                while True:
                    try:
                        ask("GET", "/healthz").read()
                        break
                    except OSError:
                        assert time.monotonic() < end and proxy.poll() is None
                        time.sleep(0.1)
                yield server, ask, f"https://{NAME}:{secure}"
            finally:
                proxy.terminate()


@pytest.mark.slow
def test_behind_a_proxy(proxied, photo: Path, mask: Path, tmp_path: Path) -> None:
    server, ask, origin = proxied
    page = ask("GET", "/", Origin=origin)
    assert page.status == 200 and "max-age" in page.headers["strict-transport-security"]
    assert "default-src 'none'" in page.headers["content-security-policy"]
    given = {name: base64.b64encode(path.read_bytes()).decode() for name, path in (("image", photo), ("mask", mask))}
    filled = ask("POST", "/v1/fill", json.dumps(given).encode(), Origin=origin)
    assert filled.status == 200 and filled.headers["content-type"] == "image/png"

    # Each picture passes as it is made.
    many = json.dumps({**given, "samples": 60}).encode()
    lines = ask("POST", "/v1/fill", many, Accept="application/x-ndjson")
    first = json.loads(lines.readline())
    assert base64.b64decode(first["pictures"][0]["data"]) == filled.read()
    asked = ask("GET", "/v1/models")
    assert asked.status == 200
    assert len(lines.read().splitlines()) == 59

    def refused(answer: http.client.HTTPResponse) -> int:
        assert answer.headers["content-type"] == "application/json" and list(json.loads(answer.read())) == ["error"]
        return answer.status

    assert refused(ask("GET", "/metrics")) == 404
    assert refused(ask("POST", "/v1/fill", Authorization="")) == 401
    assert refused(ask("POST", "/v1/fill", Origin="https://elsewhere.example.org")) == 403
    for size in (51 * 10**6, 60 * 10**6):  # above the server's limit, and above nginx's
        with (tmp_path / "large").open("wb") as large:
            large.truncate(size)
        answer = curl(f"{origin}/v1/fill", "-F", f"image=@{large.name}")
        assert list(json.loads(answer)) == ["error"] and "50 MB" in answer
    assert not [path for kind in ("client_body", "proxy") for path in (tmp_path / kind).rglob("*") if path.is_file()]
    server.kill()
    server.wait()
    assert refused(ask("GET", "/v1/models")) == 503
