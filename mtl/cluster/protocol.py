"""What both ends of a job write into its store, by name."""

from __future__ import annotations

import logging

from pydantic import BaseModel, ConfigDict, JsonValue

from mtl.errors import MtlError, raised_elsewhere
from mtl.storage.seal import Seal
from mtl.storage.store import Store

_LOG = logging.getLogger(__name__)
JOB, RESULT, ERROR = "job.json", "result.json", "error.json"
STOP = "stop"
"""Asks a training to end at the next step."""


class Job(BaseModel):
    """What a job finds in its store: the settings, and what those of its kind add."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    config: dict[str, JsonValue]


def write_error(store: Store, seal: Seal, error: MtlError) -> None:
    """Write an error down where whoever started the work finds it, and can raise it again."""
    try:
        seal.write(store, ERROR, error.document)
    except MtlError:
        _LOG.error(str(error))
        raise error from None


def raise_written(store: Store, seal: Seal) -> None:
    """Raise the error that was written down; nothing if there is none.

    Raises:
        SealError: another than the run wrote one.
    """
    if ERROR in store:
        raise raised_elsewhere(seal.read(store, ERROR))
