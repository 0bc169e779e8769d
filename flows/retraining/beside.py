"""What the page of a version shows of the champion beside it. Nothing here changes a decision: it is made already."""

from __future__ import annotations

import logging
import tempfile
from contextlib import suppress
from pathlib import Path

from flows.checkout.dvc import run_quietly
from flows.retraining.run_context import RunContext
from mtl.errors import MtlError, RegistryError
from mtl.gate import comparable
from mtl.registry.registry import Registry, Version
from mtl.reports import Decision, EvalReport, read_report
from mtl.reports.beside import PicturesBeside
from mtl.reports.pictures import NAME

_LOG = logging.getLogger(__name__)


def report_beside(registry: Registry, version: Version, decision: Decision, report: EvalReport) -> EvalReport | None:
    """What the page of a version shows beside it: the report of the champion that it was compared with, on the same samples;
    None if there was none, or the registry does not have it.
    """
    if decision.champion is None:
        return None
    try:
        champion = registry.get(decision.champion)
        with suppress(RegistryError):  # it may be of another version of this program: it was judged again
            before = registry.evaluation(champion)
            if comparable(report, before):
                return before
        kept = registry.comparison(version, champion)
    except RegistryError as error:
        _LOG.info(f"the page has no champion beside it: {error.line}")
        return None
    return kept if kept is not None and comparable(report, kept) else None


def pictures_beside(context: RunContext, decision: Decision) -> PicturesBeside:
    """The answers of the champion that a version was compared with, for the test images that the version's page shows: of its
    package, once that has verified. Whatever is in the way is said in their place.
    """
    if decision.champion is None:
        return PicturesBeside(remark="there is no champion to show beside it")
    shown = context.outputs / "evaluate" / NAME
    try:
        champion = context.registry.former(decision.champion)
        with tempfile.TemporaryDirectory() as scratch:
            package = context.registry.package(champion, Path(scratch, "champion"), context.settings.packages)
            words = [str(package), f"{scratch}/pictures.json", str(shown.resolve())]
            run_quietly("mtl.entrypoints.reevaluate", "pictures", *words, folder=context.folder)
            return read_report(PicturesBeside, Path(scratch, "pictures.json"))
    except MtlError as error:
        _LOG.info(f"the page has no pictures of version {decision.champion}: {error.line}")
        return PicturesBeside(remark=f"its pictures could not be made: {error.line}")
