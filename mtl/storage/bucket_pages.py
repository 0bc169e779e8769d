"""What an S3 bucket lists, page by page: of memory it takes a page, and ranges of names can be listed side by side."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from mtl.storage.walk import File

RANGES = 16
"""That are listed side by side: a page of 1,000 names is waited for longer than it is worked on."""


def is_paged(fs: Any) -> bool:
    """Whether a file system of fsspec is S3's: its listings come in order of names, and begin wherever one asks."""
    return type(fs).__name__ == "S3FileSystem"


def bounds(fs: Any, root: str, known: Sequence[str]) -> list[str]:
    """Names that cut a listing into at most `RANGES` ranges, of a size if possible.

    Args:
        known: names in order, evenly spread, from an earlier listing; without them, its first folders are asked for.
    """
    names = [*known] or sorted(_names(root, _page(fs, root, Delimiter="/").get("CommonPrefixes", ()), "Prefix"))
    step = -(-len(names) // RANGES) if names else 1
    return names[step::step]


def listed(fs: Any, root: str, after: str = "", until: str = "") -> Iterator[File]:
    """The files below `root` (bucket/folder) behind the name `after`, up to and with `until`: each with its size and ETag."""
    more: dict[str, Any] = {"StartAfter": _key(root) + after} if after else {}
    while True:
        page = _page(fs, root, **more)
        contents = page.get("Contents", ())
        for name, info in zip(_names(root, contents, "Key"), contents, strict=True):
            if until and name > until:
                return
            yield name, f"{info['Size']}:{info['ETag']}"
        if not page.get("IsTruncated"):
            return
        more = {"ContinuationToken": page["NextContinuationToken"]}


def _page(fs: Any, root: str, **more: Any) -> dict[str, Any]:
    return fs.call_s3("list_objects_v2", Bucket=root.partition("/")[0], Prefix=_key(root), **more, **fs.req_kw)


def _key(root: str) -> str:
    folder = root.partition("/")[2]
    return f"{folder}/" if folder else ""


def _names(root: str, infos: Sequence[dict[str, Any]], key: str) -> list[str]:
    return [info[key].removeprefix(_key(root)) for info in infos]
