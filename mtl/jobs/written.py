"""What both ends of a job write into its store, by name."""

from __future__ import annotations

import json
import sys

from mtl.config import MtlError, errors
from mtl.store import Store

JOB, RESULT, ERROR = "job.json", "result.json", "error.json"
STOP = "stop"
"""Asks a training to end at the next step."""


def write_error(store: Store, error: MtlError) -> None:
    """Write an error down where whoever started the work finds it, and can raise it again."""
    document = {"kind": type(error).__name__, "what": error.what, "found": error.found, "fix": error.fix}
    try:
        store.put(ERROR, json.dumps(document).encode())
    except MtlError:
        print(error, file=sys.stderr, flush=True)
        raise error from None


def raise_written(store: Store) -> None:
    """Raise the error that was written down; nothing if there is none."""
    if ERROR in store:
        saved = json.loads(store.get(ERROR))
        raise getattr(errors, saved["kind"])(saved["what"], found=saved["found"], fix=saved["fix"])
