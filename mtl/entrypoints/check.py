"""`mtl data check`: the data set read as prepare will read it, with nothing refused. Called with the report's path,
and with --page for a page beside it.
"""

from __future__ import annotations

import contextlib
import json
import logging
import sys
from contextlib import AbstractContextManager
from pathlib import Path

import numpy as np

from mtl.config.checking import read
from mtl.config.params import load
from mtl.config.trees.prepare import PrepareTree
from mtl.data.inspect.checks import NOBODY, check
from mtl.data.inspect.page import write_data_page
from mtl.data.inspect.shard_facts import known_digests
from mtl.data.prepare.cores import Each
from mtl.data.prepare.cores import each as each_on_cores
from mtl.data.prepare.prepare import prepare
from mtl.data.prepare.ray import nodes
from mtl.data.raw.rows import read_spec
from mtl.data.shards import manifest as manifests
from mtl.data.sources import SOURCES
from mtl.data.sources.budget import within_budget
from mtl.errors import DataError
from mtl.stages import OUTPUTS, home, run_stage
from mtl.stages.prepare import runner_of


def main() -> None:
    """Fetch and prepare in a folder of its own, which is kept: a second check reads what changed."""
    out, config = Path(sys.argv[1]), load()
    folder = out.parent
    source = config.data.source
    within_budget(SOURCES[source.type], source, config.seed, folder / "raw", home() / "downloads")
    logging.getLogger("mtl.data.prepare.prepare").setLevel(
        logging.WARNING
    )  # how many shards were written is no news here
    raw, prepared, cluster = folder / "raw", folder / "prepared", read(PrepareTree)
    manifest = prepare(config.data, raw, prepared, runner_of(cluster), refuse=False)
    with _each(cluster) as each:
        report = check(raw, prepared, manifest, read_spec(raw), _known(), each)
    if "--page" in sys.argv:
        write_data_page(folder / "report.html", report, folder / "prepared", manifest)
    out.write_text(json.dumps(report.as_json(), indent=1) + "\n", encoding="utf-8")


def _each(config: PrepareTree) -> AbstractContextManager[Each]:
    """Where shards and images are looked at: as they are prepared; but on this machine's cores, where jobs do that."""
    there = config.cluster.prepare == "ray" and not config.cluster.by_jobs
    return nodes(config) if there else contextlib.nullcontext(each_on_cores)


def _known() -> np.ndarray:
    """The samples that were last prepared here; none if there are none."""
    with contextlib.suppress(DataError):
        return known_digests(OUTPUTS / "prepared", manifests.read(OUTPUTS / "prepared"))
    return NOBODY


if __name__ == "__main__":
    run_stage(main)
