"""Compare methods on the prepared data. Called with a folder for the table and a Comparison as JSON."""

from __future__ import annotations

import json
import sys
from pathlib import Path

from mtl.compare.job import hand_over, trials_of
from mtl.compare.page import write_page
from mtl.compare.pictures import draw
from mtl.compare.plan import Comparison
from mtl.compare.run import run_comparison
from mtl.compare.table import build_table, markdown
from mtl.config.params import load
from mtl.data.shards.staging import shard_manifest
from mtl.stages import OUTPUTS, home, run_stage
from mtl.storage.seal import seal_of


def main() -> None:
    """Run what is missing and write table.json, table.md, page.html and pictures."""
    wanted, out = Comparison.model_validate_json(sys.argv[2], strict=False), Path(sys.argv[1])
    prepared = (OUTPUTS / "prepared").resolve()
    config = load()
    given = shard_manifest(Path.cwd(), prepared)
    if config.cluster.by_jobs:
        results = hand_over(config, wanted, prepared, given, home())
    else:
        seal = seal_of("comparisons", home())
        folder = config.cluster.storage.rstrip("/") or str(home())
        place = f"{folder}/comparisons/{seal.name}/{trials_of(prepared)}"
        results = run_comparison(config, wanted, prepared, place, seal, given)
    table = build_table(results)
    out.mkdir(parents=True, exist_ok=True)
    (out / "table.json").write_text(json.dumps(table.model_dump(), indent=1) + "\n", encoding="utf-8")
    (out / "table.md").write_text(markdown(table), encoding="utf-8")
    write_page(out / "page.html", table)
    draw(out, table)


if __name__ == "__main__":
    run_stage(main)
