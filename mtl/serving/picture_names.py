"""What the pictures of a batch prediction are called: each image has a name of its own, in the folders that it lies in."""

from __future__ import annotations

import hashlib
import re
import unicodedata
from collections import defaultdict
from collections.abc import Sequence
from itertools import takewhile
from pathlib import PurePosixPath

from mtl.serving.sources import Chosen

LONGEST = 180
"""Bytes of a folder's or a file's name; file systems take 255, and an extension comes after it."""
_ODD = re.compile(r'[\x00-\x1f\x7f<>:"\\|?*%~\ud800-\udfff]|[. ]$')
"""What some file system does not take in a name, and what encoded names are told apart by."""


def picture_names(chosen: Sequence[Chosen]) -> list[str]:
    """A name for each image: its path below the folder that all images have in common, the extension included.

    Characters that some file system does not take are percent-encoded. Names that some file system takes for one (`A.png` and
    `a.png`), and one that is called as another's folder, get `~` and a digest of the image's whole path.
    """
    common = _common([one.root.rstrip("/") for one in chosen])
    names = [_plain(f"{one.root.rstrip('/')}/{one.name}"[len(common) :]) for one in chosen]
    users: dict[str, list[int]] = defaultdict(list)
    for index, name in enumerate(names):
        users[_folded(name)].append(index)
    folders = {_folded(str(parent)) for name in names for parent in PurePosixPath(name).parents}
    for name, indices in users.items():
        if len(indices) > 1 or f"{name}.png" in folders:
            for index in indices:
                names[index] += f"~{_digest(chosen[index].label)}"
    return names


def _common(places: Sequence[str]) -> str:
    """What the addresses of all places begin with, up to the end of a folder."""
    parts = sorted(place.split("/") for place in set(places))
    same = takewhile(lambda pair: pair[0] == pair[1], zip(parts[0], parts[-1], strict=False))
    return "/".join(part for part, _ in same)


def _plain(path: str) -> str:
    return "/".join(_part(part) for part in path.split("/") if part)


def _part(part: str) -> str:
    """A folder's or a file's name, as every file system takes it."""
    encoded = _ODD.sub(lambda odd: "".join(f"%{byte:02X}" for byte in odd[0].encode("utf-8", "surrogateescape")), part)
    data = encoded.encode()
    return encoded if len(data) <= LONGEST else f"{data[:LONGEST].decode('utf-8', 'ignore')}~{_digest(part)}"


def _folded(name: str) -> str:
    """As file systems compare names that are careless of upper and lower case, or of how an accent is written."""
    return unicodedata.normalize("NFC", unicodedata.normalize("NFC", name).casefold())


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode("utf-8", "surrogateescape")).hexdigest()[:12]
