"""From the port to the end: the endpoint's HTTP server, in this process."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import signal
import socket
from collections.abc import Callable, Generator
from functools import partial
from pathlib import Path

import uvicorn

from mtl.config.params import Config
from mtl.errors import BusyError
from mtl.reports.requests import EndpointRequest
from mtl.serving.admission import allowed_hosts
from mtl.serving.app import Endpoint
from mtl.serving.front import Impatient
from mtl.serving.limits import Limits
from mtl.serving.model import Model

_LOG = logging.getLogger(__name__)

LEAVE_SECONDS = 25.0
"""To answer what was accepted before the end was asked for; Kubernetes kills after 30."""
LINGER_SECONDS = 2.0
"""For connections that the system has accepted and this process has not: they are told that it is ending."""


class Server(uvicorn.Server):
    """uvicorn's, whose signals are ours."""

    @contextlib.contextmanager
    def capture_signals(self) -> Generator[None]:
        """None."""
        yield


def run_app(config: Config, asked: EndpointRequest) -> None:
    """Serve a bundle, or what an alias names after it, until SIGTERM or Ctrl-C.

    Raises:
        BusyError: the port is taken.
        StageError: the model cannot be loaded.
    """
    with _listening(asked.host, asked.port) as listener:
        asyncio.run(_serve(config, asked, listener))


@contextlib.contextmanager
def _listening(host: str, port: int) -> Generator[socket.socket]:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        found = socket.create_server((host, port), family=family, backlog=2048)
    except OSError as error:
        fix = "choose another with --port, or --host"
        raise BusyError(f"{host} port {port} cannot be listened on", found=str(error), fix=fix) from error
    with found:
        yield found


async def _serve(config: Config, asked: EndpointRequest, listener: socket.socket) -> None:
    ended = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, ended.set)
    endpoint = Endpoint(allowed_hosts(asked.host, os.environ.get("MTL_ENDPOINT_HOSTS", "")))
    load = partial(Model, replicas=asked.replicas, threads=config.train.threads_per_worker)
    server = Server(_settings(endpoint))
    answering = asyncio.create_task(server.serve([listener]))
    tasks = [
        answering,
        asyncio.create_task(_models(config, asked, endpoint, load)),
        asyncio.create_task(ended.wait()),
    ]
    try:
        done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        for task in done:
            task.result()  # an error, perhaps: nothing of this ends by itself
        endpoint.leaving = True
        await asyncio.sleep(LINGER_SECONDS)
    finally:
        tasks[1].cancel()
        await asyncio.gather(tasks[1], return_exceptions=True)
        await endpoint.close(LEAVE_SECONDS)
        server.should_exit = True
        await asyncio.gather(answering, return_exceptions=True)


def _settings(endpoint: Endpoint) -> uvicorn.Config:
    return uvicorn.Config(
        endpoint.app(),
        http=Impatient,
        lifespan="off",
        ws="none",
        log_level="critical",
        access_log=False,
        server_header=False,
        proxy_headers=False,  # who sends them could pass for any number of callers
        timeout_keep_alive=int(Limits().header_seconds),
        timeout_graceful_shutdown=2,
    )


async def _models(
    config: Config,
    asked: EndpointRequest,
    endpoint: Endpoint,
    load: Callable[[int, Path], Model],
) -> None:
    """Load the first model; then follow the alias, or wait."""
    model = load(int(asked.version), Path(asked.bundle))
    await model.start()
    endpoint.put(model)
    host = f"[{asked.host}]" if ":" in asked.host else asked.host
    _LOG.info(f"model    http://{host}:{asked.port}  (version {model.version})")
    if asked.followed is not None:
        from mtl.serving.following import Followed, follow

        alias = asked.followed
        followed = Followed(alias.uri, config.registry.model, alias.alias, Path(alias.home), Path(alias.root))
        await follow(endpoint, followed, load)
    await asyncio.Event().wait()
