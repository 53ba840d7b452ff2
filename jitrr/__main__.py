"""``python -m jitrr``."""

from jitrr.cli import main

main()
