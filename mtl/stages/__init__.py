"""The stages of dvc.yaml: each reads its sections of params.yaml and calls their owner."""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Callable
from pathlib import Path

from mtl.config import MtlError, StageError
from mtl.stages.owner import watch_owner
from mtl.terminal import guard

OUTPUTS = Path("outputs")
"""Where stages write, relative to the repository's root (DVC runs them there)."""


def home() -> Path:
    """Downloads, checkpoints and other state that no version is made of; MTL_HOME, or .mtl here."""
    return Path(os.environ.get("MTL_HOME", ".mtl")).resolve()


def run_stage(stage: Callable[[], None]) -> None:
    """Run a stage's main. A user's error is printed without a traceback and ends with code 3; what another try may mend,
    with code 1. SIGTERM ends it as Ctrl-C does, and so does the end of the flow that started it."""
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, signal.default_int_handler)
    watch_owner()
    guard()
    try:
        stage()
    except StageError as error:
        print(f"error: {error}", file=sys.stderr, flush=True)
        sys.exit(1)
    except MtlError as error:
        print(f"error: {error}", file=sys.stderr, flush=True)
        sys.exit(3)
    except KeyboardInterrupt:
        sys.exit(130)
