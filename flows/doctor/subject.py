"""What is looked at: a checkout and its settings, as far as they can be read."""

from __future__ import annotations

from functools import cached_property
from pathlib import Path

from flows.settings import Settings, enter_checkout
from mtl.config.params import Config, load
from mtl.errors import MtlError


class NotKnownError(Exception):
    """Something cannot be looked at while something else is wrong."""


class Subject:
    """A folder that is, or should be, a checkout."""

    def __init__(self, root: Path | None = None) -> None:
        self.root = (root or Path.cwd()).resolve()
        self.trouble: MtlError | None = None
        self._settings: Settings | None = None
        try:
            self._settings = enter_checkout(self.root)
        except MtlError as error:
            self.trouble = error

    @property
    def settings(self) -> Settings:
        """Where things are.

        Raises:
            NotKnownError: this is no checkout, or its home cannot be used.
        """
        if self._settings is None:
            raise NotKnownError("needs a checkout and its home: see above")
        return self._settings

    @cached_property
    def config(self) -> Config:
        """Of params.yaml.

        Raises:
            NotKnownError: it cannot be read.
        """
        try:
            return load(self.settings.root / "params.yaml")
        except MtlError as error:
            raise NotKnownError("needs params.yaml: see above") from error
