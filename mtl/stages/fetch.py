"""Stage 1: the source's images and targets → outputs/raw."""

from __future__ import annotations

import json
from typing import Any

from mtl.config import load
from mtl.data.raw import read_account
from mtl.data.sources import SOURCES
from mtl.stages import OUTPUTS, home, run_stage


def main() -> None:
    """Fetch the data set that params.yaml names."""
    config = load()
    source = config.data.source
    spec = SOURCES[source.type](source, config.seed, OUTPUTS / "raw", home() / "downloads")
    records = [record.model_dump() for record in spec.sources]
    (OUTPUTS / "sources.json").write_text(json.dumps(records, indent=1) + "\n", encoding="utf-8")
    notes = [f"{number} {what}" for what, number in spec.notes.items()]
    print(
        "; ".join(
            [f"fetch: {spec.name} from {len(spec.sources)} sources", *notes, *_left_out(read_account(OUTPUTS / "raw"))]
        )
    )


def _left_out(account: dict[str, Any]) -> list[str]:
    """What is not used, in numbers; `mtl data check` has the names."""
    found = {
        "annotations cannot be used": len(account["annotations"]),
        "files left out by their sets": sum(o["number"] for a in account["files"] for o in a["left_out"].values()),
        "files that no set uses (mtl data check names them)": sum(a["unaccounted"]["number"] for a in account["files"]),
        **account["notes"],
    }
    return [f"{number} {what}" for what, number in found.items() if number]


if __name__ == "__main__":
    run_stage(main)
