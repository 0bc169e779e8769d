"""`mtl ui`: the home page, and Prefect's and MLflow's, on loopback."""

from __future__ import annotations

import logging
import os
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass

from flows.processes.ui import refuse_busy, start_guarded, start_mlflow, start_prefect, wait_until_up
from flows.registry.relocation import refuse_moved
from flows.settings import Settings
from mtl.config.params import load
from mtl.output.terminal import reveal

_LOG = logging.getLogger(__name__)


def _say_who_is_gone(settings: Settings, pages: Sequence[Page]) -> None:
    """Let the Prefect page know which runs were killed."""
    from flows.checkout.leftovers import clear

    own = next((page.url for page in pages if page.name == "Prefect" and page.process), None)
    if own is not None:
        os.environ["PREFECT_API_URL"] = f"{own}/api"
    clear(settings, prefect=True)


@dataclass(frozen=True)
class Page:
    """A server that people look at; process: None: it is not ours."""

    name: str
    url: str
    process: subprocess.Popen[bytes] | None = None

    @property
    def alive(self) -> bool:
        """As far as it is ours to know."""
        return self.process is None or self.process.poll() is None


def serve_pages(settings: Settings, home_port: int, mlflow_port: int, prefect_port: int) -> None:
    """Start the home page, Prefect's and MLflow's, name them by addresses that log in, and stop them at Ctrl-C.

    Raises:
        BusyError: a port is taken.
        RegistryError: the registry's addresses are of another place.
    """
    refuse_moved(settings)
    refuse_busy(home_port, "the home page", "--port")
    pages: list[Page] = []
    try:
        pages.append(_mlflow_page(settings, mlflow_port))
        pages.append(_prefect_page(settings, prefect_port))
        _LOG.info("starting …")
        _wait(pages)
        pages.insert(0, _home_page(settings, home_port, mlflow=pages[0].url, prefect=pages[1].url))
        _wait(pages[:1])
        _say_who_is_gone(settings, pages)
        login = settings.ensure_login()
        for page in pages:
            reveal(f"{page.name:<8} {page.url}" + (f"/login#{login}" if page.process else ""))
        _LOG.info("Ctrl-C ends them")
        while all(page.alive for page in pages):
            time.sleep(1)
    finally:
        _end([page.process for page in pages if page.process])


def _mlflow_page(settings: Settings, port: int) -> Page:
    if settings.mlflow_uri.startswith("http"):
        return Page("MLflow", settings.mlflow_uri)
    refuse_busy(port, "MLflow", "--mlflow-port")
    return Page("MLflow", f"http://127.0.0.1:{port}", start_mlflow(settings, port))


def _prefect_page(settings: Settings, port: int) -> Page:
    if settings.prefect_url:
        return Page("Prefect", settings.prefect_url.removesuffix("/api"))
    refuse_busy(port, "Prefect", "--prefect-port")
    days = load(settings.root / "params.yaml").retention.days
    return Page("Prefect", f"http://127.0.0.1:{port}", start_prefect(port, settings.ensure_login(), days))


def _home_page(settings: Settings, port: int, **others: str) -> Page:
    """Over the registry and the folders of this home.

    Args:
        others: MLflow's and Prefect's addresses.
    """
    environment = {f"MTL_{name.upper()}_PAGE": url for name, url in others.items()}
    command = [sys.executable, "-m", "flows.home", str(port)]
    return Page("home", f"http://127.0.0.1:{port}", start_guarded(command, settings.ensure_login(), environment))


def _wait(pages: Sequence[Page]) -> None:
    for page in pages:
        if page.process:
            wait_until_up(page.url, page.process, page.name)


def _end(processes: Sequence[subprocess.Popen[bytes]]) -> None:
    for process in processes:
        process.terminate()
    for process in processes:
        try:
            process.wait(15)
        except subprocess.TimeoutExpired:
            process.kill()
