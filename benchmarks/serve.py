"""`invertfill serve` under more clients than it has room for: what they get, how soon, and what it costs in memory.

    python benchmarks/serve.py --clients 64 --rounds 3

Each client asks for a fill of the example portrait at 1024 px, again at once when it has its answer. Ends with status 1
where a request got neither a picture nor a refusal. Linux only: memory is read from /proc.
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


def ask(port: int, asked: bytes) -> str:
    """The status, or what went wrong."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=300)
    try:
        connection.request("POST", "/v1/fill", asked, {"Content-Type": "application/json"})
        answer = connection.getresponse()
        answer.read()
        return str(answer.status)
    except OSError as error:
        return f"lost: {error}"
    finally:
        connection.close()


def at_once(call: Callable[[], object], times: int) -> None:
    """Each in a thread of its own."""
    with ThreadPoolExecutor(times) as threads:
        for future in [threads.submit(call) for _ in range(times)]:
            future.result()


def main(
    clients: int = 64,
    rounds: Annotated[int, Option(help="Requests of each client.")] = 3,
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
                for _ in range(rounds):
                    began = time.perf_counter()
                    seconds[ask(port, asked)].append(time.perf_counter() - began)

            at_once(lambda: ask(port, asked), 3 * WORKERS)  # a first fill loads something, in each worker
            time.sleep(SETTLED)
            before = memory(process, "VmRSS")
            began = time.perf_counter()
            at_once(client, clients)
            took = time.perf_counter() - began
            time.sleep(SETTLED)
            highest, after = memory(process, "VmHWM"), memory(process, "VmRSS")
        finally:
            process.terminate()
        stopped = process.wait(60)

    total = sum(map(len, seconds.values()))
    print(f"{clients} clients, {total} requests of {len(asked) / 1e6:.1f} MB in {took:.1f} s")
    for status, times in sorted(seconds.items()):
        print(f"  {status}  {len(times):4d}  median {statistics.median(times):6.2f} s, longest {max(times):6.2f} s")
    print(f"memory: {before:.0f} MB before, {highest:.0f} MB at most, {after:.0f} MB {SETTLED} s after")
    print(f"stopped with status {stopped}")
    sys.exit(int(bool(seconds.keys() - {"200", "429", "503"}) or stopped != 0))


if __name__ == "__main__":
    run(main)
