"""What is elsewhere: proxies, ports, remote, servers, cluster, buckets, keys."""

from __future__ import annotations

import json
import os
import socket
import urllib.error
import urllib.request
from importlib.metadata import version
from urllib.parse import urlsplit

from flows import checks
from flows.doctor.findings import Said
from flows.doctor.subject import NotKnownError, Subject
from flows.processes.ui import refuse_busy
from flows.settings import reach_prefect
from mtl.errors import BusyError
from mtl.storage.dvc_settings import dvc_settings
from mtl.surroundings import PROXIES

ANSWER_SECONDS = 5.0
PORTS = {
    "the home page": (4100, "mtl ui --port"),
    "MLflow's page": (5000, "mtl ui --mlflow-port"),
    "Prefect's page": (4200, "mtl ui --prefect-port"),
    "the endpoint": (8000, "mtl endpoint --port"),
}
"""Where commands listen unless they are told otherwise, and what tells them."""


def proxies(subject: Subject) -> Said:
    """Those of the environment answer."""
    named = {name.lower(): url for name, url in os.environ.items() if name.lower() in PROXIES and url}
    for name, url in named.items():
        if not _connects(url, 3128):
            return Said(
                "problem",
                f"{name} names {_without_login(url)}, where nobody answers: downloads and servers elsewhere cannot be reached",
                f"correct or unset {name}; what needs none is named in no_proxy",
            )
    return Said("ok", ", ".join(f"{name} {_without_login(url)}" for name, url in named.items()) or "none")


def ports(subject: Subject) -> Said:
    """Those that commands take by themselves are free."""
    busy: list[str] = []
    for what, (port, option) in PORTS.items():
        try:
            refuse_busy(port, what, option)
        except BusyError:
            busy.append(f"{port} ({what}: {option})")
    if busy:
        return Said(
            "warning",
            f"taken: {', '.join(busy)}",
            "choose others by these options, if it is not your own page that runs",
        )
    return Said("ok", f"{', '.join(str(port) for port, _ in PORTS.values())} are free")


def remote(subject: Subject) -> Said:
    """The DVC remote takes files: one is written there, and removed."""
    checks.remote(_checked(subject))
    settings = dvc_settings(subject.settings.root)
    name = settings["core"]["remote"]
    return Said("ok", f"{name}: {_without_login(str(settings['remote'][name]['url']))}")


def mlflow(subject: Subject) -> Said:
    """The registry answers, lets us in, and is of our version."""
    settings = subject.settings
    if not settings.has_registry:
        return Said("ok", "embedded; its database is made with the first version")
    checks.registry(_checked(subject))
    if not settings.mlflow_uri.startswith("http"):
        return Said("ok", f"embedded: {_without_login(settings.mlflow_uri)}")
    return _beside(settings.mlflow_uri, _ask(f"{settings.mlflow_uri.rstrip('/')}/version"), "mlflow")


def prefect(subject: Subject) -> Said:
    """The server answers, lets us in, and is of our version."""
    settings = subject.settings
    if settings.prefect_url is None:
        return Said("ok", "embedded, for as long as a run goes")
    reach_prefect(settings)
    from prefect.client.orchestration import get_client

    with get_client(sync_client=True) as client:
        return _beside(settings.prefect_url, client.api_version(), "prefect")


def ray(subject: Subject) -> Said:
    """The cluster answers."""
    cluster = subject.config.cluster
    if cluster.address == "local":
        return Said("ok", "local, for as long as a stage runs")
    checks.cluster(_checked(subject))
    if cluster.by_jobs:
        token = os.environ.get("RAY_AUTH_TOKEN")
        told = _ask(f"{cluster.address.rstrip('/')}/api/version", {"Authorization": f"Bearer {token}"} if token else {})
        return _beside(cluster.address, str(json.loads(told)["ray_version"]), "ray")
    return Said("ok", f"{cluster.address} answers; whether it takes RAY_AUTH_TOKEN, a run will say")


def storage(subject: Subject) -> Said:
    """Where a cluster keeps checkpoints takes files: one is written there, and removed."""
    checks.storage(_checked(subject))
    place = subject.config.cluster.storage
    return Said("ok", f"checkpoints go to {place}" if place else "checkpoints stay in MTL_HOME")


def keys(subject: Subject) -> Said:
    """There is a key to sign with, or one will be made, and the registry knows it."""
    settings = subject.settings
    given = os.environ.get("MTL_SIGNING_KEY")
    own = settings.home / "keys" / "private.pem"
    if given or own.exists():
        checks.signing_key(_checked(subject))
    checks.known_key(_checked(subject))
    where = "MTL_SIGNING_KEY" if given else str(own)
    signer = settings.trust.signer
    return Said("ok", f"{signer[:12]}… signs ({where})" if signer else "one is made with the first version")


def _checked(subject: Subject) -> checks.Subject:
    return checks.Subject(subject.settings, subject.config)


def _beside(url: str, found: str, package: str) -> Said:
    """A server's version beside ours: a minor one may differ in what its API means."""
    ours = version(package)
    told = f"{_without_login(url)} is {package} {found}"
    if found.split(".")[:2] != ours.split(".")[:2]:
        return Said("warning", f"{told}, here is {ours}", f"install {package} {ours} there: requirements.lock names it")
    return Said("ok", told)


def _ask(url: str, headers: dict[str, str] | None = None) -> str:
    """What an address says.

    Raises:
        NotKnownError: nothing.
    """
    try:
        with urllib.request.urlopen(
            urllib.request.Request(url, headers=headers or {}), timeout=ANSWER_SECONDS
        ) as answer:
            return answer.read(10_000).decode()
    except urllib.error.HTTPError as error:
        raise NotKnownError(f"{_without_login(url)} refuses: status {error.code}") from error
    except OSError as error:
        raise NotKnownError(f"{_without_login(url)} does not answer: {error}") from error


def _connects(url: str, port: int) -> bool:
    parts = urlsplit(url if "://" in url else f"http://{url}")
    try:
        socket.create_connection((parts.hostname or "", parts.port or port), ANSWER_SECONDS).close()
    except (OSError, ValueError):
        return False
    return True


def _without_login(url: str) -> str:
    """An address as it may be shown."""
    scheme, separator, rest = url.rpartition("://")
    return f"{scheme}{separator}{rest.rpartition('@')[2]}"
