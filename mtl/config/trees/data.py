"""What `fetch` reads."""

from __future__ import annotations

from mtl.config.data import DataConfig
from mtl.config.section import Section, Seed


class DataTree(Section):
    """Where images come from, and the seed by which they are drawn and split."""

    seed: Seed
    data: DataConfig
