"""Not in dvc.yaml: a packaged model behind HTTP, until it is told to end.

Called with an EndpointRequest as JSON.
"""

from __future__ import annotations

import sys

from mtl.stages import run_stage


def main() -> None:
    """Serve until SIGTERM or Ctrl-C; what was accepted is answered."""
    from mtl.config.params import load  # not above: the processes of the models import this module, too
    from mtl.reports.requests import EndpointRequest, asked
    from mtl.serving.server import run_app

    run_app(load(), asked(EndpointRequest, sys.argv[1]))


if __name__ == "__main__":
    run_stage(main)
