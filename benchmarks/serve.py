"""`invertfill serve` under more clients than it has room for: what they get, how soon, and what it costs in memory.

    python benchmarks/serve.py --clients 64 --seconds 600

Each client asks for a fill of the example portrait at 1024 px, and again when it has its answer; where that is a
refusal, after as long as it says. Ends with status 1 where a request got neither a picture nor a refusal at once, or
where the server counts other answers than the clients got. Linux only: memory is read from /proc.
"""

from __future__ import annotations

import base64
import http.client
import io
import json
import re
import statistics
import subprocess
import sys
import time
from collections import defaultdict
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Annotated

from PIL import Image
from typer import Option

from invertfill.cli import run

EXAMPLES = Path(__file__).parent.parent / "examples"
SIDE = 1024
WORKERS = 2
SETTLED = 6  # seconds after the last answer


def body() -> bytes:
    """A fill's JSON."""
    fields = {}
    for name, file in (("image", "portrait-astronaut.png"), ("mask", "masks/portrait-astronaut-box.png")):
        data = io.BytesIO()
        Image.open(EXAMPLES / file).resize((SIDE, SIDE)).save(data, "PNG")
        fields[name] = base64.b64encode(data.getvalue()).decode()
    return json.dumps(fields).encode()


def memory(process: subprocess.Popen[str], what: str) -> float:
    """VmRSS or VmHWM (its highest) in MB."""
    found = re.search(rf"^{what}:\s+(\d+)", Path(f"/proc/{process.pid}/status").read_text(), re.M)
    assert found
    return int(found[1]) / 1024


def ask(port: int, asked: bytes) -> tuple[str, float]:
    """The status, or what went wrong; and the seconds after which to try again."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=300)
    try:
        connection.request("POST", "/v1/fill", asked, {"Content-Type": "application/json"})
        answer = connection.getresponse()
        late = b"Not done within" in answer.read()[:1000]  # it was accepted
        return f"{answer.status}{' too late' if late else ''}", float(answer.headers.get("Retry-After", 0))
    except OSError as error:
        return f"lost: {error}", 0
    finally:
        connection.close()


def counted(port: int) -> dict[str, int]:
    """Answers to fills by status, as the server counts them."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
    connection.request("GET", "/metrics")
    text = connection.getresponse().read().decode()
    found = re.findall(r'^invertfill_requests_total{path="/v1/fill",status="(\d+)"} (\S+)', text, re.M)
    return {status: int(float(count)) for status, count in found}


def at_once(call: Callable[[], object], times: int) -> None:
    """Each in a thread of its own."""
    with ThreadPoolExecutor(times) as threads:
        for future in [threads.submit(call) for _ in range(times)]:
            future.result()


def main(
    clients: int = 64,
    lasting: Annotated[float, Option("--seconds", help="As long as clients ask anew; 0: each asks once.")] = 30,
    model: str = "faces-256",
    engine: str = "auto",
    queue: int = 16,
    per_client: Annotated[int, Option(help="All clients here have one address.")] = 64,
) -> None:
    """Print how many got what, how soon, and the memory."""
    command = [sys.executable, "-m", "invertfill", "serve", "--port", "0", "--model", model, "--engine", engine]
    command += ["--workers", str(WORKERS), "--queue", str(queue), "--per-client", str(per_client)]
    seconds: dict[str, list[float]] = defaultdict(list)
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout
            port = int(process.stdout.readline().split()[0].rstrip("/").rpartition(":")[2])
            asked = body()

            def client() -> None:
                while True:
                    began = time.perf_counter()
                    status, wait = ask(port, asked)
                    seconds[status].append(time.perf_counter() - began)
                    if time.perf_counter() + wait > end:
                        return
                    time.sleep(wait)

            at_once(lambda: ask(port, asked), 3 * WORKERS)  # a first fill loads something, in each worker
            time.sleep(SETTLED)
            before, at_first = memory(process, "VmRSS"), counted(port)
            began = time.perf_counter()
            end = began + lasting
            at_once(client, clients)
            took = time.perf_counter() - began
            time.sleep(SETTLED)
            highest, after = memory(process, "VmHWM"), memory(process, "VmRSS")
            answered = {status: count - at_first.get(status, 0) for status, count in counted(port).items()}
        finally:
            process.terminate()
        stopped = process.wait(60)

    total = sum(map(len, seconds.values()))
    print(f"{clients} clients, {total} requests of {len(asked) / 1e6:.1f} MB in {took:.1f} s")
    for status, times in sorted(seconds.items()):
        print(f"  {status}  {len(times):4d}  median {statistics.median(times):6.2f} s, longest {max(times):6.2f} s")
    print(f"memory: {before:.0f} MB before, {highest:.0f} MB at most, {after:.0f} MB {SETTLED} s after")
    print(f"the server counts {answered}; stopped with status {stopped}")
    sys.exit(int(answered != {status: len(times) for status, times in seconds.items()} or stopped != 0))


if __name__ == "__main__":
    run(main)
