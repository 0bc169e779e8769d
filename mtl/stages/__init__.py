"""The stages of dvc.yaml: each reads its sections of params.yaml and calls their owner."""

from __future__ import annotations

import json
import logging
import os
import signal
import sys
from collections.abc import Callable
from pathlib import Path

from mtl.cluster.owner import watch_owner
from mtl.errors import MtlError, StageError
from mtl.logs import set_up_logging
from mtl.output.terminal import guard

_LOG = logging.getLogger(__name__)
ERROR_FILE = "MTL_ERROR_FILE"
"""Variable that names a file for the error with which a stage ends: DVC passes neither its type nor its exit code on."""
OUTPUTS = Path("outputs")
"""Where stages write, relative to the repository's root (DVC runs them there)."""


def home() -> Path:
    """Downloads, checkpoints and other state that no version is made of; MTL_HOME, or .mtl here."""
    return Path(os.environ.get("MTL_HOME", ".mtl")).resolve()


def run_stage(stage: Callable[[], None]) -> None:
    """Run a stage's main. A user's error is printed without a traceback and ends with code 3; what another try may mend,
    with code 1. SIGTERM ends it as Ctrl-C does, and so does the end of the flow that started it.
    """
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, signal.default_int_handler)
    watch_owner()
    guard()
    try:
        set_up_logging()
        stage()
    except MtlError as error:
        if path := os.environ.get(ERROR_FILE):  # who reads it shows it
            Path(path).write_text(json.dumps(error.document), encoding="utf-8")
        else:
            _LOG.error(f"error: {error}")
        sys.exit(1 if isinstance(error, StageError) else 3)
    except KeyboardInterrupt:
        sys.exit(130)
