"""Tar files of samples: members of one key, grouped by the webdataset library.

Images stay in their tar where it can be read in parts; a compressed one, one in an archive or on a web server cannot.
"""

from __future__ import annotations

import tarfile
from collections.abc import Iterator
from typing import Any, NamedTuple

from mtl.data.raw.rows import FileRef
from mtl.errors import DataError
from mtl.storage.digest import bytes_sha256
from mtl.storage.file_tree import IMAGES, MAX_FILE_BYTES, FileTree
from mtl.storage.members import Member, refuse_cut_off
from mtl.storage.unpacked import unpacked

TARS = (".tar", ".tar.gz", ".tgz", ".tar.bz2", ".tbz2", ".tar.xz", ".txz")


class Content(NamedTuple):
    """What a member holds, or where it is, and the SHA-256 of it."""

    value: bytes | FileRef
    sha256: str


class Sample(NamedTuple):
    """Members of one key, by their extensions in lower case."""

    key: str
    file: str
    members: dict[str, Content]

    def images(self) -> list[str]:
        """Extensions of its members that are images, with nothing before them."""
        return [name for name in self.members if f".{name}" in IMAGES]

    def inline(self, name: str) -> bytes | None:
        """A member that is no image; None if there is none."""
        found = self.members.get(name)
        return found.value if found and isinstance(found.value, bytes) else None


def samples_of(tree: FileTree, file: str) -> Iterator[Sample]:
    """The samples of a tar file. A key ends at the first dot of a member's name: so does webdataset read it. Members of a key
    that do not stand side by side, as `tar c *.jpg *.cls` leaves them, are one sample all the same.

    Raises:
        DataError: it is no tar file, or damaged, or has a member twice.
    """
    from webdataset.tariterators import group_by_keys

    samples: dict[str, Sample] = {}
    try:
        with tree.opened(file) as stream:
            members = _members(stream, file, stays=tree.has_parts and file.endswith(".tar"))
            for group in group_by_keys(members):
                found = {n: v for n, v in group.items() if not n.startswith("__")}
                sample = samples.setdefault(group["__key__"], Sample(group["__key__"], file, {}))
                twice = sorted(sample.members.keys() & found.keys())
                if twice:
                    raise DataError(f"{file} has {sample.key}.{twice[0]} twice", fix="write it anew")
                sample.members.update(found)
    except DataError:
        raise
    except Exception as error:  # tarfile, zlib and lzma raise many kinds
        raise DataError(f"{file} cannot be read", found=f"{type(error).__name__}: {error}") from error
    yield from samples.values()


def _members(stream: Any, file: str, *, stays: bool) -> Iterator[dict[str, Any]]:
    """As the library's own iterator gives them.

    Args:
        stays: images need not be kept in memory: they are read where they are.
    """
    plain = unpacked(file, stream)
    with tarfile.TarFile(fileobj=plain) as tar:
        stays = stays and plain is stream  # else it is compressed, whatever its name says
        for member in tar:
            if not member.isfile() or _is_hidden(member.name):
                continue
            if member.size > MAX_FILE_BYTES:
                raise DataError(f"{member.name} of {file} is too large", found=f"{member.size} bytes")
            content = tar.extractfile(member)
            assert content is not None
            data = content.read()
            sha256 = bytes_sha256(data)
            value: bytes | FileRef = data
            if stays and not member.issparse() and member.name.lower().endswith(IMAGES):
                place = f"{member.offset_data}+{member.size}"
                value = FileRef(str(Member.of(file, place, sha256, member.name)))
            yield {"fname": member.name, "data": Content(value, sha256), "__url__": file}
        refuse_cut_off(tar)


def _is_hidden(name: str) -> bool:
    """What file managers leave (._a.jpg), and webdataset's own notes (__meta__)."""
    last = name.removeprefix("./").rsplit("/", 1)[-1]
    return last.startswith((".", "__"))
