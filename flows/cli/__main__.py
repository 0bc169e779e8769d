"""`python -m flows.cli` is `mtl`."""

from __future__ import annotations

from flows.cli import main

main()
