"""`mtl compare`: weightings, aggregators, single tasks and static weights, over one grid, in one table."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from pathlib import Path

from flows.checkout.dvc import push, run_module, run_stage
from flows.checkout.workspace import effective_params, running, workspace
from flows.run_log import await_steps, step
from flows.settings import Settings
from flows.terminal import stop_display
from mtl.config.choices import refuse_unknown, sections
from mtl.config.params import parse
from mtl.reports.requests import CompareRequest

_LOG = logging.getLogger(__name__)
COMPARISON = "comparison"
"""Name of its lock and its workspace."""


def run_compare(settings: Settings, wanted: CompareRequest, overrides: Sequence[str], out: Path, as_json: bool) -> None:
    """Prepare the data if they are not, train what is missing, print the table.

    Raises:
        ConfigError: there is no such method.
        StageError: a stage failed.
    """
    for option, names in (("weightings", wanted.weightings), ("aggregators", wanted.aggregators)):
        refuse_unknown(f"--{option}", names, ["all", *sections()[option]])  # before data are prepared
    config = parse(effective_params(settings.root, overrides))
    if not wanted.learning_rates:
        wanted = wanted.model_copy(update={"learning_rates": (config.train.learning_rate,)})
    with running(settings, COMPARISON), workspace(settings, overrides, COMPARISON) as folder:
        await_steps(["fetch", "prepare", COMPARISON])
        for stage in ("fetch", "prepare"):
            with step(stage) as end:
                timeout = config.flow.stage_timeout_seconds
                end.unchanged = not run_stage(stage, folder, force=False, timeout=timeout)
        if config.cluster.address != "local":  # its nodes pull the shards by their hash
            push(folder, config.flow.stage_timeout_seconds)
        with step(COMPARISON):
            run_module("mtl.entrypoints.compare", str(out.resolve()), wanted.model_dump_json(), folder=folder)
    stop_display()
    print((out / ("table.json" if as_json else "table.md")).read_text(encoding="utf-8"), end="")
    _LOG.info(f"table, page and pictures: {out}")
