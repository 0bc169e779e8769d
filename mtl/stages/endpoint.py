"""Not in dvc.yaml: a packaged model behind HTTP, until it is told to end.

python -m mtl.stages.endpoint '{"bundle": FOLDER, "version": "3", "host": "127.0.0.1", "port": 8000, "replicas": 1}'
"""

from __future__ import annotations

import json
import signal
import sys
import threading
from typing import Any

from mtl.config import load
from mtl.serving.app import run_app
from mtl.stages import run_stage


def main() -> None:
    """Serve until SIGTERM or Ctrl-C."""
    ended = threading.Event()

    def end(number: int, frame: Any) -> None:
        ended.set()

    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, end)
    run_app(load(), json.loads(sys.argv[1]), ended)


if __name__ == "__main__":
    run_stage(main)
