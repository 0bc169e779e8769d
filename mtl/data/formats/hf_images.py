"""The images of a Hugging Face data set: bytes in a row, which stay there, or files that a row names."""

from __future__ import annotations

from pathlib import PurePosixPath
from typing import NamedTuple

from mtl.data.formats.mentions import Files
from mtl.data.raw.rows import FileRef
from mtl.errors import DataError
from mtl.storage.digest import bytes_sha256
from mtl.storage.file_tree import FileTree
from mtl.storage.members import Member


class Encoded(NamedTuple):
    """An image or a map. sha256, data: of bytes that were read in a row; nothing of a file beside."""

    value: FileRef | bytes
    sha256: str = ""
    data: bytes = b""


def encoded_at(tree: FileTree, file: str, row: int, column: str, value: object, beside: Files) -> Encoded:
    """An image or a map: its bytes in a row, or the file that the row names.

    Raises:
        DataError: there is neither.
    """
    data = value.get("bytes") if isinstance(value, dict) else value
    path = value.get("path") if isinstance(value, dict) else value
    if isinstance(data, bytes) and data:
        sha256 = bytes_sha256(data)
        member = FileRef(str(Member.of(file, f"{row}.{column}", sha256)))
        return Encoded(member if tree.has_parts else data, sha256, data)
    if isinstance(path, str) and path:
        return Encoded(FileRef(beside.find(path, PurePosixPath(file).parent.as_posix().strip("."))))
    raise DataError("the row has no image", found=f"neither bytes nor a path in the column {column}")
