"""Stage 1: the source's images and targets → outputs/raw."""

from __future__ import annotations

import json
import logging

from mtl.config.checking import read
from mtl.config.trees.data import DataTree
from mtl.data.raw.account import read_account
from mtl.data.sources import SOURCES
from mtl.data.sources.account import summary
from mtl.data.sources.budget import within_budget
from mtl.stages import OUTPUTS, home, run_stage

_LOG = logging.getLogger(__name__)


def main() -> None:
    """Fetch the data set that params.yaml names."""
    config = read(DataTree)
    source = config.data.source
    spec = within_budget(SOURCES[source.type], source, config.seed, OUTPUTS / "raw", home() / "downloads")
    records = [record.model_dump() for record in spec.sources]
    (OUTPUTS / "sources.json").write_text(json.dumps(records, indent=1) + "\n", encoding="utf-8")
    notes = [f"{number} {what}" for what, number in spec.notes.items()]
    _LOG.info(
        "; ".join(
            [f"fetch: {spec.name} from {len(spec.sources)} sources", *notes, *summary(read_account(OUTPUTS / "raw"))]
        )
    )


if __name__ == "__main__":
    run_stage(main)
