"""What the user is told when an input cannot be used."""

from __future__ import annotations

from collections.abc import Sequence


def one_line(message: object) -> str:
    """A message as one printable line: messages of libraries may span lines, and file names may hold anything."""
    text = " ".join(str(message).split())
    return "".join(c if c.isprintable() else c.encode("unicode_escape", "surrogatepass").decode() for c in text)


class InputError(Exception):
    """A bad input. The message is one line that names the file or value at fault and what is accepted.

    The command line prints the message and exits with status 2; no traceback is shown.
    """

    def __init__(self, message: object) -> None:
        super().__init__(one_line(message))


class InputErrors(InputError):
    """Several bad inputs, one line each.

    Attributes:
        lines: what is wrong with each.
    """

    def __init__(self, lines: Sequence[str]) -> None:
        super().__init__("; ".join(lines))
        self.lines = [one_line(line) for line in lines]
