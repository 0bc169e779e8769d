"""Not in dvc.yaml: a packaged model behind HTTP, until it is told to end.

python -m mtl.stages.endpoint '{"bundle": FOLDER, "version": "3", "host": "127.0.0.1", "port": 8000, "replicas": 1}'

With `"alias": "champion", "uri": …, "home": …, "root": …` it goes on with whatever version the alias names.
"""

from __future__ import annotations

import json
import sys

from mtl.stages import run_stage


def main() -> None:
    """Serve until SIGTERM or Ctrl-C; what was accepted is answered."""
    from mtl.config.params import load  # not above: the processes of the models import this module, too
    from mtl.serving.server import run_app

    run_app(load(), json.loads(sys.argv[1]))


if __name__ == "__main__":
    run_stage(main)
