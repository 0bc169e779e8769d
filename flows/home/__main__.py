"""The home page's server on loopback, for its owner alone: `python -m flows.home PORT`. `mtl ui` starts it."""

from __future__ import annotations

import os
import sys

from flows.home.app import app_of
from flows.home.links import Links
from flows.home.overview import Home
from flows.processes.guard import LOGIN, Guard
from flows.settings import load_settings

IMPATIENT = {"MLFLOW_HTTP_REQUEST_MAX_RETRIES": "0", "MLFLOW_HTTP_REQUEST_TIMEOUT": "5"}
"""A server that does not answer is said to be away: whoever looks at the page does not wait for it."""


def main(port: int) -> None:
    """Serve until told to end."""
    import uvicorn

    os.environ |= IMPATIENT
    login, settings = os.environ.pop(LOGIN), load_settings()
    links = Links.read(os.environ, login)
    app = app_of(Home(settings, links.prefect and f"{links.prefect}/api"), links)
    uvicorn.run(Guard(app, port, login), host="127.0.0.1", port=port, log_level="error")


if __name__ == "__main__":
    main(int(sys.argv[1]))
