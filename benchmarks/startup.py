"""Time of `invertfill --help` beside that of an empty Python, and proof that it imports no torch.

    python benchmarks/startup.py

Wall time, the least of seven runs. Ends with status 1 where the help takes 0.4 s or more, or torch is imported.
"""

from __future__ import annotations

import subprocess
import sys
import time

TIMES = 7
LIMIT = 0.4  # seconds
HELP = ["-m", "invertfill", "--help"]


def seconds(arguments: list[str]) -> float:
    """Least wall time of a Python process."""
    best = float("inf")
    for _ in range(TIMES):
        start = time.perf_counter()
        subprocess.run([sys.executable, *arguments], check=True, stdout=subprocess.DEVNULL)
        best = min(best, time.perf_counter() - start)
    return best


def imports_torch() -> bool:
    listing = subprocess.run([sys.executable, "-X", "importtime", *HELP], check=True, capture_output=True, text=True)
    modules = {line.rpartition("|")[2].strip() for line in listing.stderr.splitlines()}
    assert "invertfill" in modules  # the listing is what it is taken for
    return "torch" in modules


def main() -> int:
    bare, helped, torch = seconds(["-c", "pass"]), seconds(HELP), imports_torch()
    print(f"python -c pass     {bare:.3f} s")
    print(f"invertfill --help  {helped:.3f} s (limit {LIMIT} s), torch is {'imported' if torch else 'not imported'}")
    return int(torch or helped >= LIMIT)


if __name__ == "__main__":
    sys.exit(main())
