"""A tree of settings as MLflow's params: names and values that every one of its stores takes, and no secrets."""

from __future__ import annotations

import hashlib
import json
import posixpath
import re
from collections.abc import Iterator
from typing import Any

from mtl.output.redaction import redact

LONGEST_NAME, LONGEST_VALUE = 240, 5800
"""Characters."""


def as_params(params: dict[str, object]) -> dict[str, str]:
    """Dotted keys and texts. What MLflow does not take as it is, ends with a digest of the whole."""
    return {_name(key): _value(redact(value)) for key, value in flatten(params)}


def flatten(value: Any, prefix: str = "") -> Iterator[tuple[str, str]]:
    """A tree as dotted keys and texts."""
    if isinstance(value, dict) and value:
        for key, item in value.items():
            yield from flatten(item, f"{prefix}.{key}" if prefix else str(key))
    else:
        yield prefix, value if isinstance(value, str) else json.dumps(value)


def _name(key: str) -> str:
    """A key as MLflow takes it: of others (an odd character, a path that is not in its shortest form, too long) what it takes, and
    a digest.
    """
    taken = re.sub(r"[^/\w.\- :]", "_", key)
    if taken == key and posixpath.normpath(key) == key and key[0] not in "/." and len(key) <= LONGEST_NAME:
        return key
    return f"{taken.replace('/', '_').lstrip('.')[: LONGEST_NAME - 20]}:{_digest(key)}"


def _value(value: str) -> str:
    """A value as every store of MLflow takes it; the end of a long one as its digest, so that MLflow's page compares the whole."""
    if len(value) <= LONGEST_VALUE:
        return value
    return f"{value[:LONGEST_VALUE]}… ({len(value)} characters, sha256 {_digest(value)}; whole in lineage/params.yaml)"


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode(errors="surrogatepass")).hexdigest()[:16]
