"""The HTTP endpoint: what it makes, what it refuses and how, and that nothing outlives a request."""

from __future__ import annotations

import asyncio
import base64
import gc
import io
import itertools
import json
import os
import re
import signal
import socket
import threading
import time
import urllib.request
import weakref
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from conftest import ROOT, assert_filled, pixels, serving
from PIL import Image

pytest.importorskip("fastapi", reason="needs the app extra")
from starlette.testclient import TestClient

from invertfill.client import Client
from invertfill.errors import InputError
from invertfill.serve.app import NOTE, create_app
from invertfill.serve.queue import Queue
from invertfill.serve.refusal import Refusal
from invertfill.serve.service import Service
from invertfill.serve.settings import Limits, Settings, check_access

pytestmark = pytest.mark.slow

TOKEN = "correct horse battery"


@pytest.fixture
def client(tiny_model_folder: Path) -> Iterator[Callable[..., TestClient]]:
    """Clients of servers with the tiny model and whatever settings a test wants."""
    open_clients = []

    def client(limits: Limits | None = None, base_url: str = "http://127.0.0.1", **settings: Any) -> TestClient:
        settings = {"models": (str(tiny_model_folder),), "limits": limits or Limits(workers=1), **settings}
        app = create_app(Settings(**settings))
        open_clients.append(TestClient(app, base_url, raise_server_exceptions=False).__enter__())
        return open_clients[-1]

    yield client
    for one in open_clients:
        one.__exit__(None, None, None)


@pytest.fixture
def files(photo: Path, mask: Path) -> dict[str, bytes]:
    return {"image": photo.read_bytes(), "mask": mask.read_bytes()}


def base64_of(data: bytes) -> str:
    return base64.b64encode(data).decode()


def encoded(image: Image.Image, kind: str = "PNG", **options: Any) -> bytes:
    data = io.BytesIO()
    image.save(data, kind, **options)
    return data.getvalue()


def assert_refused(answer: Any, status: int, *parts: str) -> None:
    """One sentence, which gives nothing of the machine away."""
    assert answer.status_code == status, answer.text
    (sentence,) = answer.json().values()
    assert list(answer.json()) == ["error"] and sentence.isprintable() and sentence.endswith(".")
    for part in parts:
        assert part in sentence
    assert_discreet(answer)


def assert_discreet(answer: Any) -> None:
    text = f"{answer.headers} {answer.text}"
    assert not re.search(r"Traceback|/(home|usr|tmp|root|work|src)\b|uvicorn|starlette|\b\d+\.\d+\.\d+\b(?!\.\d)", text)


def test_fill(client, files, photo: Path, mask: Path, tmp_path: Path) -> None:
    answer = client().post("/v1/fill", files=files)
    assert answer.status_code == 200 and answer.headers["content-type"] == "image/png"
    (tmp_path / "out.png").write_bytes(answer.content)
    assert_filled(photo, mask, tmp_path / "out.png")


def test_json_is_what_a_form_is(client, files) -> None:
    server = client()
    form = server.post("/v1/fill", files=files, data={"seed": "3"}, headers={"Accept": "application/json"}).json()
    body = {"image": base64_of(files["image"]), "mask": "data:image/png;base64," + base64_of(files["mask"]), "seed": 3}
    written = server.post("/v1/fill", json=body)
    assert written.headers["content-type"] == "image/png"
    assert base64_of(written.content) == form["pictures"][0]["data"]


def test_samples_are_the_seeds_that_follow(client, files) -> None:
    server = client()
    answer = server.post("/v1/fill", files=files, data={"seed": "5", "samples": "3"}).json()
    assert [picture["seed"] for picture in answer["pictures"]] == [5, 6, 7]
    assert len({picture["data"] for picture in answer["pictures"]}) == 3
    alone = server.post("/v1/fill", files=files, data={"seed": "6"})
    assert base64_of(alone.content) == answer["pictures"][1]["data"]


@pytest.mark.parametrize(
    ("given", "asked", "type_", "kind"),
    [
        ("JPEG", "same", "image/jpeg", "JPEG"),
        ("WEBP", "same", "image/webp", "WEBP"),
        ("GIF", "same", "image/gif", "GIF"),
        ("TIFF", "same", "image/tiff", "TIFF"),
        ("PNG", "jpeg", "image/jpeg", "JPEG"),
        ("JPEG", "webp", "image/webp", "WEBP"),
    ],
)
def test_formats(client, files, photo: Path, given: str, asked: str, type_: str, kind: str) -> None:
    picture = encoded(Image.open(photo), given)
    answer = client().post("/v1/fill", files={**files, "image": picture}, data={"format": asked})
    assert answer.status_code == 200 and answer.headers["content-type"] == type_
    assert Image.open(io.BytesIO(answer.content)).format == kind


@pytest.mark.parametrize(("kind", "asked", "count"), [("GIF", "same", 2), ("TIFF", "same", 2), ("GIF", "jpeg", 1)])
def test_all_frames_and_pages_are_filled(client, files, photo: Path, kind: str, asked: str, count: int) -> None:
    frames, data = [Image.open(photo).quantize(16), Image.open(photo).rotate(180).quantize(16)], io.BytesIO()
    frames[0].save(data, kind, save_all=True, append_images=frames[1:])
    request = {**files, "image": ("a", data.getvalue(), "image/*")}
    answer = client().post("/v1/fill", files=request, data={"format": asked, "samples": "2"}).json()
    for picture in answer["pictures"]:
        filled = Image.open(io.BytesIO(base64.b64decode(picture["data"])))
        assert getattr(filled, "n_frames", 1) == count
    assert any("only the first" in note for note in answer["notes"]) == (count == 1)


def test_frames_count_together(client, files) -> None:
    """A million pixels are accepted here, and there are two, in frames of 0.64."""
    frames, data = [Image.new("L", (800, 800), shade) for shade in (0, 100, 200)], io.BytesIO()
    frames[0].save(data, "GIF", save_all=True, append_images=frames[1:])
    server = client(limits=Limits(pixels=1))
    answer = server.post("/v1/fill", files={**files, "image": ("a.gif", data.getvalue(), "image/gif")})
    assert_refused(answer, 422, "3 frames of 800x800")


def test_a_small_mask_is_enlarged(client, files, photo: Path) -> None:
    """As the page does with large pictures; what is known stays exact at full size."""
    small = np.zeros((12, 20), np.uint8)
    small[3:7, 4:9] = 255
    request = {"image": files["image"], "mask": encoded(Image.fromarray(small))}
    server = client()
    assert_refused(server.post("/v1/fill", files=request), 422, "20x12")
    answer = server.post("/v1/fill", files=request, data={"resize_mask": "true"})
    changed = (np.asarray(Image.open(io.BytesIO(answer.content))) != pixels(photo)).any(2)
    hole = np.kron(small, np.ones((2, 2))) > 0
    assert not changed[~hole].any() and changed[hole].mean() > 0.9
    request["mask"] = encoded(Image.new("L", (20, 20), 255))
    assert_refused(server.post("/v1/fill", files=request, data={"resize_mask": "true"}), 422, "same proportions")


def test_boxes_growing_and_feathering(client, files, photo: Path) -> None:
    """As a form, where a field may be there several times, and as JSON."""
    server = client()
    answer = server.post("/v1/fill", files={"image": files["image"]}, data={"box": ["0,0,4,5", "30,2,3,3"]})
    changed = (np.asarray(Image.open(io.BytesIO(answer.content))) != pixels(photo)).any(2)
    assert changed[:5, :4].all() and changed[2:5, 30:33].all() and changed.sum() == 29
    for box in (["0,0,4,5", "30,2,3,3"], [[0, 0, 4, 5], [30, 2, 3, 3]], "0,0,4,5;30,2,3,3"):
        again = server.post("/v1/fill", json={"image": base64_of(photo.read_bytes()), "box": box})
        assert again.content == answer.content
    data = {"box": "10,8,3,3", "grow": "2", "feather": "1"}
    answer = server.post("/v1/fill", files={"image": files["image"]}, data=data)
    changed = (np.asarray(Image.open(io.BytesIO(answer.content))) != pixels(photo)).any(2)
    assert changed[8:11, 10:13].all() and changed[6, 11] and not changed[4].any() and not changed[:, 16:].any()
    for name, value in (("box", "1,2,3"), ("grow", "-1"), ("feather", "x"), ("box", "50,50,2,2")):
        assert_refused(server.post("/v1/fill", files=files, data={name: value}), 422, name)
    assert_refused(server.post("/v1/outpaint", files={"image": files["image"]}, data=data), 422)


def test_no_flag_of_the_command_line_is_named(client, files) -> None:
    server, flag = client(), re.compile(r"(?<![\w-])--[a-z]")
    mask = files["mask"]
    assert not flag.search(json.dumps(server.get("/openapi.json").json()["paths"]))
    for name in ("index.html", "main.js", "server.js", "painter.js", "picture.js"):
        text = (ROOT / "src" / "invertfill" / "serve" / "page" / name).read_text()
        assert not flag.search(re.sub(r"<!--.*?-->|var\(--[\w-]+\)|\"--[a-z]+\"", "", text, flags=re.DOTALL)), name
    requests: list[dict[str, Any]] = [
        {"files": {"image": files["image"], "mask": files["image"]}},
        {"files": {"image": files["image"]}},
        {"files": {"image": mask, "mask": encoded(Image.new("L", (40, 24)))}},
        {"files": {"image": mask, "mask": encoded(Image.new("L", (24, 40)))}},
        {"files": files, "headers": {"Host": "example.org"}},
        {"files": {"image": files["image"], "mask": encoded(Image.new("L", (40, 24), 255)), "x": mask}},
    ]
    for request in requests:
        answer = server.post("/v1/fill", **request)
        assert answer.status_code >= 400 and not flag.search(answer.text), answer.text


def test_inverted_mask_and_transparency(client, files, photo: Path, mask: Path) -> None:
    server = client()
    expected = server.post("/v1/fill", files=files).content
    inverse = encoded(Image.fromarray(255 - pixels(mask)))
    assert server.post("/v1/fill", files={**files, "mask": inverse}, data={"invert_mask": "1"}).content == expected
    holed = np.dstack([pixels(photo), 255 - pixels(mask)])
    answer = server.post("/v1/fill", files={"image": encoded(Image.fromarray(holed))})
    after = np.asarray(Image.open(io.BytesIO(answer.content)))
    assert (after[..., 3] == 255).all() and (after[pixels(mask) == 0] == holed[pixels(mask) == 0]).all()


def test_pictures_come_as_they_are_made(files, tiny_model_folder: Path, photo: Path, mask: Path) -> None:
    """In lines, which hold together what JSON holds; the first is there while the server is still at work."""
    given = {name: base64_of(data) for name, data in files.items()}
    with serving("--model", tiny_model_folder, "--workers", 1, "--max-samples", 200) as (_, address):

        def ask(kind: str, **fields: Any) -> Any:
            body = json.dumps({**given, **fields}).encode()
            headers = {"Content-Type": "application/json", "Accept": kind}
            return urllib.request.urlopen(urllib.request.Request(f"{address}v1/fill", body, headers))

        with ask("application/x-ndjson", samples=200) as answer:
            assert answer.headers["content-type"] == "application/x-ndjson"
            first = json.loads(answer.readline())
            assert b"invertfill_in_hand 1" in urllib.request.urlopen(f"{address}metrics").read()
        # Nothing is done for a client that went away in the middle.
        until(lambda: b"invertfill_in_hand 0" in urllib.request.urlopen(f"{address}metrics").read())
        assert b"invertfill_pictures_total 200" not in urllib.request.urlopen(f"{address}metrics").read()
        lines = [json.loads(line) for line in ask("application/x-ndjson", samples=3)]
        assert lines[0] == {**first, "notes": lines[0]["notes"]}
        whole = json.load(ask("application/json", samples=3))
        assert [picture for line in lines for picture in line["pictures"]] == whole["pictures"]
        assert [note for line in lines for note in line["notes"]] == whole["notes"]
        assert {line["model"] for line in lines} == {whole["model"]}


def test_lines_that_end_early_say_why(client, files, monkeypatch: pytest.MonkeyPatch) -> None:
    fill = Service.fill

    def tired(self, form, unwanted):
        yield from itertools.islice(fill(self, form, unwanted), 2)
        raise Refusal(503, "Too tired.")

    server, lines = client(), {"Accept": "application/x-ndjson"}
    assert_refused(server.post("/v1/fill", files=files, data={"samples": "9"}, headers=lines), 422, "samples")
    monkeypatch.setattr(Service, "fill", tired)
    answer = server.post("/v1/fill", files=files, data={"samples": "8"}, headers=lines)
    *pictures, last = map(json.loads, answer.text.splitlines())
    assert answer.status_code == 200 and len(pictures) == 2 and last == {"error": "Too tired."}
    until(lambda: in_hand(server) == 0)


def test_outpaint(client, files, photo: Path) -> None:
    server = client()
    answer = server.post("/v1/outpaint", files={"image": files["image"]}, data={"left": "8", "bottom": "25%"})
    after = np.asarray(Image.open(io.BytesIO(answer.content)))
    assert after.shape == (30, 48, 3)
    np.testing.assert_array_equal(after[:24, 8:], pixels(photo))
    body = {"image": base64_of(files["image"]), "aspect": "1:1", "samples": 2}
    answer = server.post("/v1/outpaint", json=body).json()
    assert [(picture["width"], picture["height"]) for picture in answer["pictures"]] == [(40, 40)] * 2


def test_preview_of_what_browsers_cannot_show(client) -> None:
    picture = Image.new("CMYK", (3000, 30), (0, 255, 255, 0))
    answer = client().post("/v1/preview", files={"image": encoded(picture, "TIFF")})
    preview = Image.open(io.BytesIO(answer.content))
    assert (preview.format, preview.size) == ("WEBP", (2048, 20))
    assert np.asarray(preview)[10, 10, 0] > 200 > 60 > np.asarray(preview)[10, 10, 2]


def test_models_and_health(client) -> None:
    server = client(Limits(samples=3, upload=2, pixels=1))
    answer = server.get("/v1/models").json()
    assert [model["name"] for model in answer["models"]] == ["tiny"] and answer["models"][0]["licence"] == "CC0"
    assert answer["limits"] == {"upload": 2 * 10**6, "pixels": 10**6, "samples": 3}
    assert server.get("/healthz").json() == {"status": "ok"}


def test_notes_are_told(client, files, monkeypatch: pytest.MonkeyPatch, tiny_model_folder: Path) -> None:
    from invertfill import registry

    monkeypatch.setattr(registry, "WEIGHTS", tiny_model_folder.parent)
    server = client(models=("auto",))
    assert next(iter(server.get("/v1/models").json()["models"]))["name"] == "auto"
    large = Image.new("L", (40, 24), 255)  # most of the picture: worth a note
    large.paste(0, (0, 0, 8, 24))
    files = {**files, "mask": encoded(large)}
    answer = server.post("/v1/fill", files=files)
    assert answer.status_code == 200 and answer.headers[NOTE].startswith("mask: ")
    answer = server.post("/v1/fill", files=files, headers={"Accept": "application/json"}).json()
    assert answer["notes"] and answer["notes"][0].startswith("mask: ")


def test_metrics(client, files) -> None:
    server = client()
    server.post("/v1/fill", files=files, data={"samples": "2"})
    server.post("/v1/fill", content=b"", headers={"Content-Type": "text/plain"})
    server.get("/nothing/here")
    text = server.get("/metrics").text
    for line in (
        'invertfill_requests_total{path="/v1/fill",status="200"} 1.0',
        'invertfill_requests_total{path="/v1/fill",status="415"} 1.0',
        'invertfill_requests_total{path="other",status="404"} 1.0',
        "invertfill_pictures_total 2.0",
        "invertfill_in_hand 0.0",
    ):
        assert line in text
    assert "python" not in text


def test_described_and_the_examples_run(client) -> None:
    server = client()
    described = server.get("/openapi.json").json()
    posts = {path: route["post"] for path, route in described["paths"].items() if "post" in route}
    assert posts.keys() == {"/v1/fill", "/v1/outpaint", "/v1/preview"}
    for path, post in posts.items():
        answer = server.post(path, json=post["requestBody"]["content"]["application/json"]["example"])
        assert answer.status_code == 200 and answer.headers["content-type"].startswith("image/")


def test_each_status_that_is_described_comes(client, files, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of every operation, and docs/serve.md has a row for each."""
    server, locked = client(Limits(upload=1, workers=1)), client(token=TOKEN)
    taken, full = client(Limits(workers=1, per_client=0)), client(Limits(workers=1, queue=-1))
    monkeypatch.setattr("invertfill.serve.service.look", lambda *_: 1 / 0)
    provoked: dict[int, Callable[[str, str], Any]] = {
        400: lambda method, path: server.request(
            method, path, content=b"{", headers={"Content-Type": "application/json"}
        ),
        401: lambda method, path: locked.request(method, path),
        403: lambda method, path: server.request(method, path, headers={"Host": "elsewhere.example.org"}),
        404: lambda method, path: server.request(method, f"{path}/more"),
        405: lambda method, path: server.request("PUT", path),
        413: lambda method, path: server.request(method, path, files={"image": bytes(2 * 10**6)}),
        415: lambda method, path: server.request(method, path, content=b"a"),
        422: lambda method, path: server.request(method, path, json={"colour": "red"}),
        429: lambda method, path: taken.request(method, path, files=files),
        500: lambda method, path: server.request(method, path, json={"image": "example:hopper"}),
        503: lambda method, path: full.request(method, path, files=files),
    }
    everywhere = {404, 405}
    seen = set(everywhere)
    for path, route in locked.get("/openapi.json").json()["paths"].items():
        for method, operation in route.items():
            statuses = {int(status) for status in operation["responses"]} - {200}
            assert operation["tags"] and operation["summary"] and operation["description"]
            for status in statuses | everywhere:
                answer = provoked[status](method, path)
                assert_refused(answer, status)
                assert ("retry-after" in answer.headers) == (status in (429, 503))
            seen |= statuses
    assert seen == provoked.keys()
    assert seen <= set(map(int, re.findall(r"^\| (\d{3}) \|", (ROOT / "docs/serve.md").read_text(), re.M)))


def test_examples_are_named(client) -> None:
    server = client()
    form = server.post("/v1/fill", files={"image": (None, "example:hopper"), "box": (None, "9,9,40,40")})
    assert form.status_code == 200 and Image.open(io.BytesIO(form.content)).size == (256, 256)
    assert server.post("/v1/fill", json={"image": "example:hopper", "box": "9,9,40,40"}).content == form.content
    for name in ("example:", "example:../index", "example:nobody"):
        assert_refused(server.post("/v1/fill", json={"image": name}), 422, "astronaut, hopper")


@pytest.mark.parametrize("path", ["/", "/docs"])
def test_pages_need_no_network(client, path: str) -> None:
    server = client()
    page = server.get(path)
    addresses = re.findall(r"""(?:src|href|url)\s*[=:]\s*["']([^"'#]+)""", page.text)
    assert addresses and not [address for address in addresses if "//" in address]
    for address in addresses:
        assert server.get(address).status_code == 200, address
    assert "default-src 'none'" in page.headers["content-security-policy"]


BAD: dict[str, tuple[dict[str, Any], int, str]] = {
    "no picture": ({"files": {}, "json": {"seed": 1}}, 422, "image"),
    "not base64": ({"files": {}, "json": {"image": "***"}}, 422, "not base64"),
    "no JSON": ({"files": {}, "content": b"{", "headers": {"Content-Type": "application/json"}}, 400, "no JSON object"),
    "number as text": ({"files": {}, "json": {"image": "", "seed": "1"}}, 422, "seed"),
    "no object": ({"files": {}, "json": [1]}, 422, "body"),
    "deep JSON": (
        {"files": {}, "content": b"[" * 100_000, "headers": {"Content-Type": "application/json"}},
        400,
        "no JSON object",
    ),
    "damaged multipart": (
        {"files": {}, "content": b"nonsense", "headers": {"Content-Type": "multipart/form-data; boundary=a"}},
        400,
        "multipart",
    ),
    "no boundary": (
        {"files": {}, "content": b"--a", "headers": {"Content-Type": "multipart/form-data"}},
        400,
        "multipart",
    ),
    "other type": (
        {"files": {}, "content": b"a=b", "headers": {"Content-Type": "application/x-www-form-urlencoded"}},
        415,
        "multipart/form-data",
    ),
    "no type": ({"files": {}, "content": b"a=b"}, 415, "multipart/form-data"),
    "no image": ({"files": {"image": b"text"}}, 422, "image: not an image"),
    "empty image": ({"files": {"image": b""}}, 422, "image: not an image"),
    "truncated": ({"cut": 1000}, 422, "image: damaged or truncated"),
    "no mask": ({"files": {"mask": None}}, 422, "no mask given"),
    "mask is text": ({"files": {"mask": b"text"}}, 422, "mask: not an image"),
    "mask without a hole": ({"files": {"mask": encoded(Image.new("L", (40, 24)))}}, 422, "without a hole"),
    "unknown model": ({"data": {"model": "../../etc"}}, 422, "accepted: tiny"),
    "unknown field": ({"data": {"colour": "red"}}, 422, "colour"),
    "seed": ({"data": {"seed": "-1"}}, 422, "seed"),
    "samples": ({"data": {"samples": "9"}}, 422, "1 to 8"),
    "no samples": ({"data": {"samples": "0"}}, 422, "samples"),
    "format": ({"data": {"format": "gif"}}, 422, "format"),
    "pixels": ({"files": {"image": encoded(Image.new("1", (1200, 1000)))}}, 413, "1 million"),
    "mask's pixels": ({"files": {"mask": encoded(Image.new("1", (1200, 1000)))}}, 413, "1 million"),
    "upload": ({"files": {"image": b"x" * 1_100_000}}, 413, "1 MB"),
}


@pytest.mark.parametrize("case", BAD)
def test_refused_with_one_sentence(client, files, case: str) -> None:
    request, status, part = BAD[case]
    request = dict(request)
    if "cut" in request:
        files["image"] = files["image"][: request.pop("cut")]
    wanted = {**files, **request.pop("files", {})} if request.get("files") != {} else request.pop("files")
    wanted = {name: data for name, data in wanted.items() if data is not None}
    server = client(Limits(upload=1, pixels=1, workers=1))
    assert_refused(server.post("/v1/fill", files=wanted or None, **request), status, part)


@pytest.mark.parametrize(
    ("data", "part"),
    [
        ({}, "aspect"),
        ({"left": "-5"}, "left"),
        ({"left": "10", "aspect": "1:1"}, "aspect"),
        ({"aspect": "0:0"}, "16:9"),
        ({"aspect": "wide"}, "aspect"),
    ],
)
def test_bad_margins(client, files, data: dict[str, str], part: str) -> None:
    assert_refused(client().post("/v1/outpaint", files={"image": files["image"]}, data=data), 422, part)


def test_margins_are_bounded(client, files) -> None:
    server = client(Limits(pixels=1, workers=1))
    answer = server.post("/v1/outpaint", files={"image": files["image"]}, data={"left": "999999"})
    assert_refused(answer, 413, "1 million")


def test_elsewhere(client) -> None:
    server = client()
    for path in ("/nothing", "/page/../../app.py", "/page/%2e%2e/app.py", "/v1/models/x"):
        assert_refused(server.get(path), 404)
    assert_refused(server.get("/v1/fill"), 405)


def test_token(client, files) -> None:
    server = client(token=TOKEN)
    for path in ("/", "/healthz", "/docs", "/openapi.json"):
        assert server.get(path).status_code == 200
    for header in ({}, {"Authorization": TOKEN}, {"Authorization": "Bearer wrong"}, {"Authorization": "Bearer \xe9"}):
        headers = {name: value.encode("latin-1") for name, value in header.items()}
        assert_refused(server.post("/v1/fill", files=files, headers=headers), 401, "Bearer")
        assert_refused(server.get("/metrics", headers=headers), 401)
        assert_refused(server.get("/v1/models", headers=headers), 401)
    answer = server.post("/v1/fill", files=files, headers={"Authorization": f"Bearer {TOKEN}"})
    assert answer.status_code == 200


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({"Host": "127.0.0.1:8000"}, 200),
        ({"Host": "localhost:8000"}, 200),
        ({"Host": "[::1]:8000"}, 200),
        ({"Host": "fill.example.org"}, 200),
        ({"Host": "rebound.example.com"}, 403),
        ({"Host": "localhost.example.com"}, 403),
        ({"Host": ""}, 403),
        ({"Host": "[::1"}, 403),
        ({"Host": "localhost:8000", "Origin": "http://localhost:8000"}, 200),
        ({"Host": "localhost:8000", "Origin": "http://localhost:9000"}, 403),
        ({"Host": "localhost:8000", "Origin": "https://example.com"}, 403),
        ({"Host": "localhost:8000", "Origin": "null"}, 403),
    ],
)
def test_other_sites_are_kept_out(client, headers: dict[str, str], status: int) -> None:
    answer = client(hosts=("fill.example.org",)).get("/v1/models", headers=headers)
    assert answer.status_code == status
    if status == 403:
        assert_refused(answer, 403)
    assert "access-control-allow-origin" not in answer.headers


def test_access_is_decided_on() -> None:
    for host in ("127.0.0.1", "127.0.0.2", "::1", "localhost"):
        check_access(host, None, False)
    for host in ("0.0.0.0", "::", "192.168.1.5", "fill.example.org"):
        check_access(host, TOKEN, False)
        check_access(host, None, True)
        with pytest.raises(InputError, match="--token or --no-auth"):
            check_access(host, None, False)
    for token in ("short", "", "tab\tin a token that is long", "naïve token that is long"):
        with pytest.raises(InputError, match="--token"):
            check_access("0.0.0.0", token, False)
    with pytest.raises(InputError, match="--token"):
        check_access("0.0.0.0", TOKEN, True)


@pytest.fixture
def gate(monkeypatch: pytest.MonkeyPatch) -> Iterator[threading.Event]:
    """Fills wait until it is set."""
    gate = threading.Event()
    fill = Service.fill

    def slow(self, form, unwanted):
        assert gate.wait(60)
        yield from fill(self, form, unwanted)

    monkeypatch.setattr(Service, "fill", slow)
    yield gate
    gate.set()


def until(condition: Callable[[], bool]) -> None:
    end = time.monotonic() + 120
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.01)


def in_hand(server: TestClient) -> int:
    return int(float(re.search(r"^invertfill_in_hand (\S+)", server.get("/metrics").text, re.M)[1]))


def test_what_is_accepted_is_done_and_the_rest_refused_at_once(client, files, gate: threading.Event) -> None:
    server = client(Limits(workers=1, queue=2, per_client=64))
    with ThreadPoolExecutor(16) as threads:
        asked = [threads.submit(server.post, "/v1/fill", files=files) for _ in range(3)]
        until(lambda: in_hand(server) == 3)
        more = [threads.submit(server.post, "/v1/fill", files=files) for _ in range(8)]
        for answer in more:  # while all those before still wait
            assert_refused(answer.result(30), 503, "again")
            assert answer.result().headers["retry-after"] == "1"
        assert not any(answer.done() for answer in asked)
        gate.set()
        assert [answer.result(60).status_code for answer in asked] == [200] * 3
    assert in_hand(server) == 0


def test_one_client_leaves_room_for_others(client, files, gate: threading.Event) -> None:
    server = client(Limits(workers=1, queue=9, per_client=2))
    with ThreadPoolExecutor(4) as threads:
        asked = [threads.submit(server.post, "/v1/fill", files=files) for _ in range(2)]
        until(lambda: in_hand(server) == 2)
        assert_refused(server.post("/v1/fill", files=files), 429, "2 ")
        gate.set()
        assert [answer.result(60).status_code for answer in asked] == [200] * 2


def test_a_place_is_taken_until_the_work_has_ended(client, files, gate: threading.Event) -> None:
    """A thread can't be stopped, so a request that ran out of time must not make room for another."""
    server = client(Limits(workers=1, queue=0, seconds=0.3))
    assert_refused(server.post("/v1/fill", files=files), 503, "0.3 seconds")
    assert in_hand(server) == 1
    assert_refused(server.post("/v1/fill", files=files), 503, "again")
    gate.set()
    until(lambda: in_hand(server) == 0)


def test_unforeseen_failures_give_nothing_away(client, files, monkeypatch: pytest.MonkeyPatch) -> None:
    server = client()
    with monkeypatch.context() as broken:
        broken.setattr("invertfill.serve.service.look", lambda *_: 1 / 0)
        answer = server.post("/v1/fill", files=files)
        assert answer.status_code == 500 and "ZeroDivision" not in answer.text
        assert_discreet(answer)
        broken.setattr("invertfill.serve.service.look", lambda *_: (_ for _ in ()).throw(MemoryError))
        assert_refused(server.post("/v1/fill", files=files), 503, "memory")
    assert server.post("/v1/fill", files=files).status_code == 200 and in_hand(server) == 0


def test_nothing_is_written_to_disk(client, files, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Not even for the time of a request, however large the upload."""
    import tempfile

    def never(*arguments: Any, **options: Any) -> None:
        raise AssertionError("a file was about to be made")

    for name in ("TemporaryFile", "NamedTemporaryFile", "mkstemp"):
        monkeypatch.setattr(tempfile, name, never)
    noise = np.random.default_rng(0).integers(0, 256, (1000, 1000, 3), np.uint8)
    large = {"image": encoded(Image.fromarray(noise)), "mask": encoded(Image.new("L", (100, 100), 255))}
    assert len(large["image"]) > 2 * 10**6
    server = client()
    assert server.post("/v1/fill", files=files).status_code == 200
    assert server.post("/v1/preview", files={"image": large["image"]}).status_code == 200


async def done(queue: Queue, place: Any, work: Any, gone: Any) -> list[Any]:
    ends = asyncio.get_running_loop().time() + 60
    return [result async for result in queue.do(place, work, gone, ends)]


def test_work_that_nobody_waits_for_is_left() -> None:
    async def leave() -> threading.Event:
        queue = Queue(Limits(workers=1))
        begun, seen = threading.Event(), []

        def work(unwanted: threading.Event) -> Iterator[None]:
            seen.append(unwanted)
            begun.set()
            assert unwanted.wait(30)
            yield from ()

        with pytest.raises(Refusal, match="gone"), queue.place("someone") as place:
            await done(queue, place, work, asyncio.to_thread(begun.wait))
        queue.close()
        assert queue.taken == 0
        return seen[0]

    assert asyncio.run(leave()).is_set()


def test_an_upload_goes_with_whoever_leaves_the_queue() -> None:
    """And not only when the one worker, which is busy for long, comes to its turn."""

    class Upload:
        def fill(self, unwanted: threading.Event) -> Iterator[None]:
            raise AssertionError("nobody waits for this")

    async def leave() -> None:
        queue, busy = Queue(Limits(workers=1)), threading.Event()

        def work(unwanted: threading.Event) -> Iterator[bool]:
            yield busy.wait(30)

        with queue.place("someone") as first:
            working = asyncio.create_task(done(queue, first, work, asyncio.Event().wait()))
            await asyncio.sleep(0)
            upload = Upload()
            held = weakref.ref(upload)
            with pytest.raises(Refusal, match="gone"), queue.place("another") as second:
                await done(queue, second, upload.fill, asyncio.sleep(0))
            del upload
            gc.collect()
            assert queue.taken == 1 and held() is None
            busy.set()
            assert await working == [True]
        queue.close()

    asyncio.run(leave())


def post(address: str, body: bytes, sent: int | None = None) -> socket.socket:
    """A connection on which JSON was sent, or that many bytes of it, and no answer read."""
    connection = socket.create_connection(("127.0.0.1", int(address.rstrip("/").rpartition(":")[2])), timeout=60)
    head = f"Host: localhost\r\nContent-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n"
    connection.sendall(f"POST /v1/fill HTTP/1.1\r\n{head}".encode() + body[:sent])
    return connection


def test_slow_uploads_end(tiny_model_folder: Path) -> None:
    """A client that sends a byte now and then doesn't keep a place for good."""
    with serving("--model", tiny_model_folder, "--time-limit", 1) as (_, address):
        with post(address, bytes(99), sent=1) as slow:
            answer = slow.recv(10_000).decode()
        assert answer.startswith("HTTP/1.1 503 ") and "server:" not in answer.lower()


def test_whoever_goes_away_leaves_nothing_behind(
    tiny_model_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Connections closed while one is being filled, twelve wait in the queue and one is still being sent."""
    (tmp_path / "temporary").mkdir()
    monkeypatch.setenv("TMPDIR", str(tmp_path / "temporary"))
    noise = np.random.default_rng(0).integers(0, 256, (1200, 1600, 3), np.uint8)
    hole = Image.new("L", (1600, 1200))
    hole.paste(255, (700, 500, 732, 532))
    picture, mask = encoded(Image.fromarray(noise)), encoded(hole)
    body = json.dumps({"image": base64_of(picture), "mask": base64_of(mask), "samples": 99}).encode()
    options = ("--workers", 1, "--max-samples", 99, "--per-client", 99)
    with serving("--model", tiny_model_folder, *options) as (process, address):

        def measured(name: str) -> float:
            text = urllib.request.urlopen(f"{address}metrics").read().decode()
            return float((re.search(rf"^{re.escape(name)} (\S+)", text, re.M) or ["", "0"])[1])

        def memory() -> int:
            """Megabytes, where the system tells."""
            status = Path(f"/proc/{process.pid}/status")
            return int(re.search(r"VmRSS:\s+(\d+)", status.read_text())[1]) // 1024 if status.exists() else 0

        server = Client(address)
        server.fill(picture, mask)
        before = memory()
        connections = [post(address, body) for _ in range(13)]
        connections.append(post(address, body, sent=len(body) // 2))
        until(lambda: measured("invertfill_in_hand") == 14 and measured("invertfill_pictures_total") > 1)
        for connection in connections:
            connection.close()
        until(lambda: measured("invertfill_in_hand") == 0)
        assert measured('invertfill_requests_total{path="/v1/fill",status="499"}') == 14
        assert measured("invertfill_pictures_total") < 1 + 99  # the others were left
        assert len(server.fill(picture, mask)) == 1  # the one worker is free
        until(lambda: memory() < before + 7 * len(body) / 2**20)  # of fourteen
        assert list((tmp_path / "temporary").iterdir()) == []
        process.send_signal(signal.SIGTERM)
        assert process.wait(30) == 0
        assert process.stderr and process.stderr.read() == ""


@pytest.mark.skipif(not Path("/proc/self/fdinfo").exists(), reason="asks the system which files are open")
@pytest.mark.parametrize("how", [signal.SIGTERM, signal.SIGKILL])
def test_a_server_that_is_killed_leaves_no_file(
    how: signal.Signals, tiny_model_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In the middle of a fill, with one more request waiting and another half sent."""
    for name in ("TMPDIR", "HOME", "XDG_CACHE_HOME"):
        (tmp_path / name).mkdir()
        monkeypatch.setenv(name, str(tmp_path / name))
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    noise = np.random.default_rng(0).integers(0, 256, (1200, 1600, 3), np.uint8)
    picture = base64_of(encoded(Image.fromarray(noise)))
    body = json.dumps({"image": picture, "box": "700,500,32,32", "samples": 99}).encode()
    options = ("--workers", 1, "--max-samples", 99, "--time-limit", 5)
    with serving("--model", tiny_model_folder, *options) as (process, address):
        connections = [post(address, body), post(address, body), post(address, body, sent=len(body) // 2)]
        until(lambda: b"invertfill_pictures_total 0.0" not in urllib.request.urlopen(f"{address}metrics").read())
        assert not written(process.pid)
        process.send_signal(how)
        process.wait(60)
        for connection in connections:
            connection.close()
    assert not [path for path in tmp_path.rglob("*") if not path.is_dir()]


def written(process: int) -> list[str]:
    """The files that a process holds open to write to."""
    found = []
    for open_file in Path(f"/proc/{process}/fdinfo").iterdir():
        flags = int(re.search(r"^flags:\s*(\d+)", open_file.read_text(), re.M)[1], 8)
        path = os.readlink(f"/proc/{process}/fd/{open_file.name}")
        if flags & (os.O_WRONLY | os.O_RDWR) and path.startswith("/") and not path.startswith("/dev/"):
            found.append(path)
    return found


def test_command_client_and_clean_stop(files, photo: Path, mask: Path, tmp_path: Path, tiny_model_folder: Path) -> None:
    with serving("--model", tiny_model_folder, "--token", TOKEN, "--workers", 1) as (process, address):
        fill = Client(address, token=TOKEN)
        assert [model["name"] for model in fill.models()] == ["tiny"]
        (picture,) = fill.fill(photo, mask, seed=2)
        (tmp_path / "out.png").write_bytes(picture)
        assert_filled(photo, mask, tmp_path / "out.png")
        assert len(fill.fill(files["image"], files["mask"], samples=2)) == 2
        (wider,) = fill.outpaint(photo, right="50%", format="webp")
        assert Image.open(io.BytesIO(wider)).size == (60, 24)
        with pytest.raises(InputError, match=r"model: .*tiny"):
            fill.fill(photo, mask, model="none")
        with pytest.raises(InputError, match="token"):
            Client(address).models()

        with ThreadPoolExecutor(1) as threads:
            asked = threads.submit(fill.fill, photo, mask, samples=8)
            request = urllib.request.Request(f"{address}metrics", headers={"Authorization": f"Bearer {TOKEN}"})
            until(lambda: asked.done() or b"invertfill_in_hand 1" in urllib.request.urlopen(request).read())
            process.send_signal(signal.SIGTERM)
            assert len(asked.result(60)) == 8  # work in hand ends first
        assert process.wait(30) == 0
        assert process.stderr and process.stderr.read() == ""
    with pytest.raises(ConnectionError, match="http"):
        fill.models()


@pytest.mark.parametrize(
    ("options", "part"),
    [
        (["--host", "0.0.0.0"], "--token or --no-auth"),
        (["--model", "faces-9"], "unknown model"),
        (["--host", "256.1.1.1", "--no-auth"], "256.1.1.1"),
    ],
)
def test_bad_options_are_one_line(run, tiny_model_folder: Path, options: list[str], part: str) -> None:
    if "--model" not in options:
        options = [*options, "--model", str(tiny_model_folder)]
    result = run("serve", *options)
    assert (result.status, result.out) == (2, "") and result.err.count("\n") == 1 and part in result.err


def test_answers_are_json_that_others_read(client, files) -> None:
    body = client().post("/v1/fill", files=files, data={"samples": "2"}).content
    assert json.loads(body)["pictures"][1]["width"] == 40
