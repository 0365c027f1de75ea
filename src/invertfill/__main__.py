"""The process of ``invertfill`` and of ``python -m invertfill``: what Ctrl-C does, from the first import on."""

import os
import signal
import sys

INTERRUPTED = 130  # the status by which shells know it


def main() -> None:
    """Run the command line.

    Ctrl-C ends the process at once, unless a command has its own way (`batch`, `serve`, long work with bars). As an
    exception it would get lost in imports of compiled modules, and threads that compute would meet a dying interpreter.
    """
    if signal.getsignal(signal.SIGINT) is not signal.SIG_IGN:  # as of a job in the background
        signal.signal(signal.SIGINT, _end)
    from invertfill.cli import main as run

    try:
        run()
    except SystemExit as end:
        if end.code == INTERRUPTED:
            _leave()
        signal.signal(signal.SIGINT, signal.SIG_IGN)  # the work is done; while Python ends, it would end by a signal
        raise


def _end(*_: object) -> None:
    files = sys.modules.get("invertfill.imaging.files")
    for path in list(files.unfinished) if files and hasattr(files, "unfinished") else ():
        path.unlink(missing_ok=True)
    try:
        if os.isatty(2):
            os.write(2, b"\r\x1b[K\x1b[?25h")  # the line of a spinner goes, and the cursor that it hides is back
        os.write(2, b"invertfill: interrupted\n")
    finally:
        _leave()


def _leave() -> None:
    """Without waiting for threads."""
    from contextlib import suppress

    signal.signal(signal.SIGINT, signal.SIG_IGN)
    for stream in (sys.stdout, sys.stderr):
        with suppress(OSError, ValueError, RuntimeError):  # closed, or interrupted in the middle of writing
            stream.flush()
    os._exit(INTERRUPTED)


if __name__ == "__main__":
    main()
