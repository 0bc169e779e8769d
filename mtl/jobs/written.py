"""What both ends of a job write into its store, by name."""

from __future__ import annotations

import sys

from mtl.config import MtlError, errors
from mtl.seal import Seal
from mtl.store import Store

JOB, RESULT, ERROR = "job.json", "result.json", "error.json"
STOP = "stop"
"""Asks a training to end at the next step."""


def write_error(store: Store, seal: Seal, error: MtlError) -> None:
    """Write an error down where whoever started the work finds it, and can raise it again."""
    document = {"kind": type(error).__name__, "what": error.what, "found": error.found, "fix": error.fix}
    try:
        seal.write(store, ERROR, document)
    except MtlError:
        print(error, file=sys.stderr, flush=True)
        raise error from None


def raise_written(store: Store, seal: Seal) -> None:
    """Raise the error that was written down; nothing if there is none.

    Raises:
        SealError: another than the run wrote one.
    """
    if ERROR in store:
        saved = seal.read(store, ERROR)
        raise getattr(errors, saved["kind"])(saved["what"], found=saved["found"], fix=saved["fix"])
