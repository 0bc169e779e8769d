"""What became of every file: used, left out with a reason, or declared as not meant. Nothing disappears without a word."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath

from pathspec import GitIgnoreSpec

from mtl.data.formats.base import Problem
from mtl.data.raw.account import Account, FilesOfPath, Names
from mtl.storage.members import Member
from mtl.storage.shelf import SOME, Shelf, batched

NOT_DATA = GitIgnoreSpec.from_lines(
    (
        "readme*",
        "README*",
        "Readme*",
        "LICEN[SC]E*",
        "licen[sc]e*",
        "CITATION*",
        "ATTRIBUTION*",
        "CHANGELOG*",
        "*.md",
        "*.rst",
        "*.pdf",
        "*.html",
        "*.py",
        "*.ipynb",
        "*.sh",
        "*.md5",
        "*.sha256",
        "Thumbs.db",
        "desktop.ini",
        "*.dvc",
        "*.crc",
        "_SUCCESS",
        "dataset_infos.json",
    ),
)
"""Files that come with data sets and are none: documents, scripts, checksums, what file managers leave."""


def is_document(name: str) -> bool:
    """Whether a file is one that comes with data and is none."""
    return bool(NOT_DATA.match_file(PurePosixPath(name).name))


SHOWN = 1000
"""Names that are kept of one kind; of more, their number."""


@dataclass
class FileAccount:
    """The files below one path. used + copies + problems + left_out + not_data + ignored + unaccounted = found.

    problems: file → what is wrong with it. left_out: file → why its set leaves it out. unaccounted: nothing reads them, and nobody
    says that they are not meant.
    """

    path: str
    found: int = 0
    used: int = 0
    copies: int = 0
    ignored: int = 0
    problems: dict[str, str] = field(default_factory=dict[str, str])
    left_out: dict[str, str] = field(default_factory=dict[str, str])
    not_data: list[str] = field(default_factory=list[str])
    unaccounted: list[str] = field(default_factory=list[str])

    def as_written(self) -> FilesOfPath:
        """Numbers of all, and names of what was not used."""
        reasons: dict[str, list[str]] = {}
        for name, reason in self.left_out.items():
            reasons.setdefault(reason, []).append(name)
        return FilesOfPath(
            path=self.path,
            found=self.found,
            used=self.used,
            copies=self.copies,
            ignored=self.ignored,
            problems=len(self.problems),
            left_out={reason: _names(names) for reason, names in sorted(reasons.items())},
            not_data=_names(self.not_data),
            unaccounted=_names(self.unaccounted),
        )


def _names(files: Sequence[str]) -> Names:
    return Names(number=len(files), files=tuple(files[:SHOWN]))


@dataclass
class Accounts:
    """Of a whole data set: the files of each path, annotations that cannot be used, and what was changed on the way."""

    files: list[FileAccount] = field(default_factory=list[FileAccount])
    annotations: list[Problem] = field(default_factory=list[Problem])
    num_annotations: int = 0
    notes: Counter[str] = field(default_factory=Counter[str])

    def write(self, folder: Path) -> None:
        """Write account.json."""
        found = Account(
            files=tuple(account.as_written() for account in self.files),
            annotations=tuple(sorted((p.id, p.reason) for p in self.annotations)),
            num_annotations=self.num_annotations,
            notes=dict(sorted(self.notes.items())),
        )
        (folder / "account.json").write_text(json.dumps(found.model_dump(), indent=1) + "\n", encoding="utf-8")


@dataclass
class Seen:
    """What the sets of one path say of its files."""

    path: str
    names: list[str]
    ignore: tuple[str, ...] = ()
    documents: set[str] = field(default_factory=set[str])
    left_out: dict[str, str] = field(default_factory=dict[str, str])
    named: Shelf[str] = field(default_factory=Shelf[str].of_texts)
    """File → the id of the image that it is, or is a target of."""
    problems: dict[str, str] = field(default_factory=dict[str, str])

    def _stand_for(
        self, stand_for: Callable[[Iterable[str]], Mapping[str, str]]
    ) -> Iterator[tuple[str, str | None, str | None]]:
        """Every file, the image that it is or is a target of, and the one that is used for that."""
        for files in batched(self._named(), SOME):
            kept = stand_for(found for _, found in files if found is not None)
            yield from ((name, found, None if found is None else kept.get(found)) for name, found in files)

    def _named(self) -> Iterator[tuple[str, str | None]]:
        """Every file with the id of the image that it is, or is a target of: both are in order."""
        pairs = self.named.pairs()
        at, found = next(pairs, ("", None))
        for name in self.names:
            while found is not None and at < name:
                at, found = next(pairs, ("", None))
            yield name, found if at == name else None

    def account(self, stand_for: Callable[[Iterable[str]], Mapping[str, str]], lost: Mapping[str, str]) -> FileAccount:
        """Say of every file what became of it.

        Args:
            stand_for: of images' ids those that are used, with the id of what is used for each: itself, or what it is a copy of.
            lost: id → what is wrong with it.
        """
        account = FileAccount(self.path, found=len(self.names))
        ignored = GitIgnoreSpec.from_lines(self.ignore)
        for name, found, kept in self._stand_for(stand_for):
            if found is not None and kept is not None:
                account.used += kept == found
                account.copies += kept != found
            elif found is not None and found in lost:
                account.problems[name] = lost[found]
            elif name in self.documents:
                account.used += 1
            elif name in self.problems:
                account.problems[name] = self.problems[name]
            elif ignored.match_file(name):
                account.ignored += 1
            elif name in self.left_out:
                account.left_out[name] = self.left_out[name]
            elif is_document(name):
                account.not_data.append(name)
            else:
                account.unaccounted.append(name)
        return account


def container(name: str) -> str:
    """The file that a reference's name lies in: itself, or the tar or table that it is a part of."""
    member = Member.parse(name)
    return member.container if member else name


def num_annotations(targets: Iterable[Mapping[str, object]]) -> int:
    """Boxes one by one, other targets as one each."""
    return sum(len(v) if isinstance(v, list) else 1 for found in targets for v in found.values())


def summary(account: Account) -> list[str]:
    """What of account.json is not used, in numbers; `mtl data check` has the names."""
    found = {
        "annotations cannot be used": len(account.annotations),
        "files left out by their sets": sum(o.number for a in account.files for o in a.left_out.values()),
        "files that no set uses (mtl data check names them)": sum(a.unaccounted.number for a in account.files),
        **account.notes,
    }
    return [f"{number} {what}" for what, number in found.items() if number]
