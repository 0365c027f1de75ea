"""What a user should know of work that went well: one line each, as data, and in the log of "invertfill" at INFO."""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import TypeAlias

from invertfill.errors import one_line

log = logging.getLogger("invertfill")
Note: TypeAlias = Callable[[str], object]
"""What takes a note; functions that may have something to say get one as their `note`."""


Begin: TypeAlias = Callable[[str, int], Callable[[], None]]
"""Shows progress: gets what is done and how many, and gives what is to be called after each."""


def silent(_: str) -> None:
    """For those who open a picture without handing it on: nothing that matters is lost."""


class Notes(list[str]):
    """Notes in the order in which they came, each once. Calling it adds some."""

    def __call__(self, *texts: str) -> None:
        for line in map(one_line, texts):
            if line not in self:
                self.append(line)
                log.info(line)
