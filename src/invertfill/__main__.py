"""``python -m invertfill`` is the command ``invertfill``."""

from invertfill.cli import main

main()
