"""The table of sources: what `data.source.type` can name. A source writes the raw data set."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from mtl.data.sources.files import fetch_files
from mtl.data.sources.mixed import fetch_sources
from mtl.data.sources.zoo import fetch_zoo
from mtl.data.spec import DatasetSpec

# (its section of params.yaml, seed, folder to write, folder of downloads) → what was written
SOURCES: dict[str, Callable[[Any, int, Path, Path], DatasetSpec]] = {
    "zoo": fetch_zoo,
    "sources": fetch_sources,
    "files": fetch_files,
}
