"""The changes of the champion that count: each is signed, and carries the hash of all before it."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from pydantic import ValidationError

from mtl.errors import RegistryError
from mtl.registry.ledger import Entry
from mtl.registry.trust import Trust
from mtl.reports.change import Change
from mtl.reports.types import parse_json

CHANGE = "change"
"""Kind of the ledger's keys change/000001 and so on."""


@dataclass
class Chain:
    """The changes that count, and those that do not."""

    changes: list[Change] = field(default_factory=list[Change])
    head: str = ""
    """Hash over the texts of all changes that count."""
    heads: list[str] = field(default_factory=list[str])
    """What `head` was after each."""
    signed: str = ""
    """What it was after the last that was signed."""
    unsigned: list[int] = field(default_factory=list[int])
    """Numbers of those among them at the end that no later signature covers."""
    doubtful: list[Change] = field(default_factory=list[Change])
    """The others, with `unverified`: why they do not count."""

    @property
    def last(self) -> Change | None:
        """The change that made the present champion."""
        return self.changes[-1] if self.changes else None

    @property
    def champion(self) -> int | None:
        """What the chain ends with."""
        return self.changes[-1].to if self.changes else None

    @property
    def end(self) -> int:
        """Number of the last change; 0 if there is none."""
        return self.changes[-1].number if self.changes else 0

    def add(self, change: Change, entry: Entry) -> None:
        """Append one that counts."""
        self.changes.append(change)
        self.head = hashlib.sha256(f"{self.head}{entry.sha256}".encode()).hexdigest()
        self.heads.append(self.head)
        self.unsigned = [*self.unsigned, change.number] if entry.doubt else []


def read_chain(model: str, ledger: Mapping[str, Entry], trust: Trust, seen: str = "") -> Chain:
    """The chain of a ledger's entries.

    Args:
        seen: the hash that a chain had here before.

    Raises:
        RegistryError: an entry was changed or removed, put in another's place, or cut off the end.
    """
    entries = {int(key[len(CHANGE) + 1 :]): e for key, e in ledger.items() if re.fullmatch(rf"{CHANGE}/\d{{6}}", key)}
    chain = Chain()
    waiting: dict[int, Entry] = {}
    for number, entry in sorted(entries.items()):
        if entry.doubt is not None:
            waiting[number] = entry
            continue
        change = change_of(number, entry)
        for earlier in change.covers:
            if earlier in waiting:
                chain.add(change_of(earlier, waiting[earlier]), waiting.pop(earlier))
        if change.previous != chain.head:
            raise _broken(model, number, chain, waiting)
        chain.add(change, entry)
    chain.signed = chain.head
    for number, entry in waiting.items():
        change = _whole(number, entry)
        if change is not None and trust.lets(entry.doubt) and change.replaces == chain.champion:
            chain.add(change, entry)
        else:
            chain.doubtful.append(_shown(number, entry))
    if seen and seen not in chain.heads and (trust.keys or chain.changes):
        raise _shortened(model, chain, trust.seen)
    return chain


def known_numbers(ledger: Mapping[str, Entry]) -> set[int]:
    """Numbers of all versions that a ledger has ever named."""
    values = [entry.value for entry in ledger.values() if entry.doubt is None]
    found = [value.get(key) for value in values for key in ("version", "from", "to")]
    removed = [value.get("removed") for value in values]
    found += [number for numbers in removed if isinstance(numbers, list) for number in numbers]
    return {number for number in found if isinstance(number, int)}


def change_of(number: int, entry: Entry) -> Change:
    """What an entry of the chain says.

    Raises:
        RegistryError: it is no change.
    """
    fix = "mtl of the version that wrote it reads it; else restore the registry from a back-up"
    what = f"change {number} of the champion"
    return parse_json(Change, entry.value | {"number": number}, what, fix=fix, refusal=RegistryError)


def _whole(number: int, entry: Entry) -> Change | None:
    """What an entry that nobody signed says, if it has what is asked of one."""
    try:
        change = Change.model_validate(entry.value | {"number": number})
    except ValidationError:
        return None
    return change if change.to is not None and "id" in change.model_fields_set else None


def _shown(number: int, entry: Entry) -> Change:
    """An entry that may be anybody's, with all that is shown of one."""
    texts = {key: str(entry.value.get(key, ""))[:200] for key in ("kind", "who", "when", "why")}
    versions = {key: value if type(value := entry.value.get(key)) is int else None for key in ("from", "to")}
    why = entry.doubt.why if entry.doubt else ""
    return Change.model_validate(versions | texts | {"number": number, "unverified": why})


def _broken(model: str, number: int, chain: Chain, waiting: Mapping[int, Entry]) -> RegistryError:
    altered = [str(n) for n, entry in waiting.items() if entry.doubt and entry.doubt.altered]
    found = f"change {number} does not follow change {chain.end}"
    found += f"; change {', '.join(altered)} was altered" if altered else "; one before it was changed or removed"
    return RegistryError(
        f"the history of {model}'s champions is not as it was signed",
        found=found,
        fix="restore the registry from a back-up; nothing was changed",
    )


def _shortened(model: str, chain: Chain, seen: Path | None) -> RegistryError:
    return RegistryError(
        f"the history of {model}'s champions has lost changes that were seen here before",
        found=f"it ends with change {chain.end}",
        fix=f"restore the registry from a back-up; if you restored an older one yourself, remove {seen}",
    )
