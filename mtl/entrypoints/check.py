"""`mtl data check`: the data set read as prepare will read it, with nothing refused. Called with the report's path,
and with --page for a page beside it.
"""

from __future__ import annotations

import contextlib
import json
import logging
import sys
from pathlib import Path

from mtl.config.params import load
from mtl.data.inspect.checks import check
from mtl.data.inspect.page import write_data_page
from mtl.data.loading.loader import Split
from mtl.data.prepare.prepare import prepare
from mtl.data.raw.rows import read_spec
from mtl.data.sources import SOURCES
from mtl.data.sources.budget import within_budget
from mtl.data.spec import SPLITS
from mtl.errors import DataError
from mtl.stages import OUTPUTS, home, run_stage


def main() -> None:
    """Fetch and prepare in a folder of its own, which is kept: a second check reads what changed."""
    out, config = Path(sys.argv[1]), load()
    folder = out.parent
    source = config.data.source
    within_budget(SOURCES[source.type], source, config.seed, folder / "raw", home() / "downloads")
    logging.getLogger("mtl.data.prepare.prepare").setLevel(
        logging.WARNING
    )  # how many shards were written is no news here
    manifest = prepare(config.data, folder / "raw", folder / "prepared", refuse=False)
    report = check(folder / "raw", folder / "prepared", manifest, read_spec(folder / "raw"), _known())
    if "--page" in sys.argv:
        write_data_page(folder / "report.html", report, folder / "prepared", manifest)
    out.write_text(json.dumps(report.as_json(), indent=1) + "\n", encoding="utf-8")


def _known() -> frozenset[str]:
    """The samples that were last prepared here; none if there are none."""
    with contextlib.suppress(DataError):
        splits = [Split(OUTPUTS / "prepared", name) for name in SPLITS]
        return frozenset(digest for split in splits for digest in split.digests())
    return frozenset()


if __name__ == "__main__":
    run_stage(main)
