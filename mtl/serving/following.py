"""The endpoint follows an alias of the registry: a version that is named anew is verified, loaded beside the one that answers,
and takes its place; one that does not verify or does not load is refused, and the one before it goes on.
"""

from __future__ import annotations

import asyncio
import logging
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from mtl.errors import MtlError, RegistryError
from mtl.output.terminal import one_line
from mtl.package import BUNDLE
from mtl.registry.package_cache import PackageCache
from mtl.registry.promotion import CHAMPION
from mtl.registry.registry import Registry, Version
from mtl.registry.trust import trusted
from mtl.serving.app import Endpoint
from mtl.serving.model import Model

_LOG = logging.getLogger(__name__)

LOOK_SECONDS = 2.0
"""Between two looks at the registry."""
AGAIN_SECONDS = 60.0
"""Before a version that was refused is tried again: each try brings its package."""


@dataclass
class Followed:
    """An alias of a registry.

    Args:
        home: MTL_HOME, whose keys are trusted if the environment names no others.
        root: the checkout, which declares whom else it trusts.
    """

    uri: str
    model: str
    alias: str
    home: Path
    root: Path
    refused: dict[int, float] = field(default_factory=dict[int, float])
    """Versions → when they may be tried again."""

    def version(self) -> tuple[Registry, Version]:
        """The version that is to be served now. The keys are read anew: they may have been replaced, too.

        Raises:
            RegistryError: there is none, or it does not verify.
        """
        registry = Registry(self.uri, self.model, trusted(self.home, self.root))
        found = registry.champion() if self.alias == CHAMPION else registry.at(self.alias)
        if found is None:
            raise RegistryError(f"{self.model} has no {self.alias}", fix="mtl promote makes a version champion")
        return registry, found

    def bring(self, registry: Registry, version: Version, folder: Path) -> Path:
        """The bundle of a version's package, verified.

        Raises:
            RegistryError: it cannot be fetched, or is not what was registered.
        """
        cache = PackageCache(self.home / "packages") if self.uri.startswith("http") else None
        return registry.package(version, folder, cache) / BUNDLE


class Once(logging.Filter):
    """Lets a line through at its first time: the registry says the same at every look."""

    def __init__(self) -> None:
        super().__init__()
        self._said = set[str]()

    def filter(self, record: logging.LogRecord) -> bool:
        """Whether it is new."""
        new = record.getMessage() not in self._said
        self._said.add(record.getMessage())
        return new


async def follow(endpoint: Endpoint, followed: Followed, load: Callable[[int, Path], Model]) -> None:
    """Serve what the alias names, for ever.

    Args:
        load: a version's model, from its bundle; not yet started.
    """
    logging.getLogger("mtl.registry.promotion").addFilter(Once())
    while True:
        await asyncio.sleep(LOOK_SECONDS)
        number: int | None = None
        try:
            registry, version = await asyncio.to_thread(followed.version)
            number = version.number
            if endpoint.model is not None and number == endpoint.model.version:
                endpoint.behind = ""
            elif time.monotonic() >= followed.refused.get(number, 0.0):
                await _swap(endpoint, followed, registry, version, load)
        except Exception as error:  # whatever it is, what is served goes on
            if number is not None:
                followed.refused[number] = time.monotonic() + AGAIN_SECONDS
            _note(endpoint, followed, error)


async def _swap(
    endpoint: Endpoint,
    followed: Followed,
    registry: Registry,
    version: Version,
    load: Callable[[int, Path], Model],
) -> None:
    """Load a version beside the one that answers, let it answer instead, and end the other once it has answered all."""
    scratch = tempfile.TemporaryDirectory()  # the model has it: a process that ends is started from it again
    try:
        bundle = await asyncio.to_thread(followed.bring, registry, version, Path(scratch.name))
        model = load(version.number, bundle)
        await model.start()
    except BaseException:
        scratch.cleanup()
        raise
    model.scratch = scratch
    before = endpoint.put(model)
    _LOG.info(f"model    version {model.version} in place of {before.version if before else 'none'}")


def _note(endpoint: Endpoint, followed: Followed, error: Exception) -> None:
    """Say once why what is to be served is not: all of it in the log, and to callers without addresses and folders."""
    line = error.line if isinstance(error, MtlError) else f"{type(error).__name__}: {error}"
    what = error.what.replace(followed.uri, "…") if isinstance(error, MtlError) else type(error).__name__
    version = endpoint.model.version if endpoint.model else "none"
    if what != endpoint.behind:
        _LOG.info(one_line(f"warning  version {version} goes on: {line}"))
    endpoint.behind = what
