"""What the user is told when an input cannot be used."""

from __future__ import annotations


class InputError(Exception):
    """A bad input. The message is one line that names the file or value at fault and what is accepted.

    The command line prints the message and exits with status 2; no traceback is shown.
    """

    def __init__(self, message: object) -> None:
        # Library messages that are quoted here may span lines; the contract is one line.
        super().__init__(" ".join(str(message).split()))


class InvertFillWarning(UserWarning):
    """A note about a fill that worked, but that the user should know: no hole found, or nothing known."""
