"""What the user is told when an input cannot be used."""

from __future__ import annotations

TYPE_CHECKING = False  # that of typing would be an import: this is among what a command imports first
if TYPE_CHECKING:
    from collections.abc import Sequence

LONGEST = 300  # characters of a message: file names and what libraries say may be of any length


def one_line(message: object) -> str:
    """A message as one printable line: messages of libraries may span lines, and file names may hold anything."""
    text = " ".join(str(message).split())
    return "".join(c if c.isprintable() else c.encode("unicode_escape", "surrogatepass").decode() for c in text)


def shortened(message: object) -> str:
    """The same as one line of at most ``LONGEST`` characters: its end says what is accepted, so the middle goes."""
    text = one_line(message)
    if len(text) <= LONGEST:
        return text
    half = LONGEST // 2
    return f"{text[: half - 3]} ... {text[len(text) - half + 2 :]}"


def how_to_install(extra: str) -> str:
    """The command for a message. It is for a clone: the package is on no index."""
    return f'pip install ".[{extra}]"'


class InputError(ValueError):
    """A bad input. The message is one line that names the file or value at fault and what is accepted.

    The command line prints the message and exits with status 2; no traceback is shown.
    """

    def __init__(self, message: object) -> None:
        super().__init__(shortened(message))


class InputErrors(InputError):
    """Several bad inputs, one line each.

    Attributes:
        lines: what is wrong with each.
    """

    def __init__(self, lines: Sequence[str]) -> None:
        super().__init__("; ".join(lines))
        self.lines = [shortened(line) for line in lines]
