"""Settings hold no credentials: they are recorded with every run, and whoever may read the registry reads them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from mtl.errors import ConfigError
from mtl.output.redaction import redact, secret_in

VARIABLES = {
    "s3": "AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY",
    "gs": "GOOGLE_APPLICATION_CREDENTIALS",
    "gcs": "GOOGLE_APPLICATION_CREDENTIALS",
    "az": "AZURE_STORAGE_CONNECTION_STRING",
    "abfs": "AZURE_STORAGE_CONNECTION_STRING",
    "abfss": "AZURE_STORAGE_CONNECTION_STRING",
    "hf": "HF_TOKEN",
    "ray": "RAY_AUTH_TOKEN",
    "http": """FSSPEC_HTTP='{"client_kwargs": {"headers": {"Authorization": "…"}}}'""",
    "https": """FSSPEC_HTTPS='{"client_kwargs": {"headers": {"Authorization": "…"}}}'""",
}
"""Scheme of a URL → the variables from which its credentials are read."""


def problems(values: Any) -> list[str]:
    """Every setting that holds a secret, with the variable that is for it."""
    return [f"{path}: holds {what}; set {variable} instead" for path, what, variable in _found(values)]


def refuse_credentials(words: Sequence[str]) -> None:
    """A command's words are no place for them either: every user of the machine sees them.

    Raises:
        ConfigError: one holds a secret.
    """
    for word in words:
        if what := secret_in(word):
            raise ConfigError(
                f"the command line holds {what}, which every user of this machine can read",
                found=redact(word),
                fix=f"leave it out, and set {_variable(word)}",
            )


def _found(values: Any, path: str = "") -> Iterator[tuple[str, str, str]]:
    if isinstance(values, str):
        if what := secret_in(values):
            yield path or "(the whole file)", what, _variable(values)
    elif isinstance(values, Mapping):
        for key, item in values.items():
            yield from _found(str(key), f"a key of {path}" if path else "a key")
            yield from _found(item, f"{path}.{key}" if path else str(key))
    elif isinstance(values, list | tuple):
        for index, item in enumerate(values):
            yield from _found(item, f"{path}.{index}")


def _variable(text: str) -> str:
    """The variable from which what a text addresses takes its credentials."""
    scheme = text.rpartition("://")[0].rpartition("=")[2].strip("'\" {[").lower()
    return VARIABLES.get(scheme, "a variable of the environment")
