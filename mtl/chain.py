"""The changes of the champion that count: each is signed, and carries the hash of all before it."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from mtl.config import RegistryError
from mtl.ledger import Entry
from mtl.trust import Trust

CHANGE = "change"
"""Kind of the ledger's keys change/000001 and so on."""


@dataclass
class Chain:
    """The changes that count, and those that do not."""

    changes: list[dict[str, Any]] = field(default_factory=list[dict[str, Any]])
    head: str = ""
    """Hash over the texts of all changes that count."""
    heads: list[str] = field(default_factory=list[str])
    """What `head` was after each."""
    signed: str = ""
    """What it was after the last that was signed."""
    unsigned: list[int] = field(default_factory=list[int])
    """Numbers of those among them at the end that no later signature covers."""
    doubtful: list[dict[str, Any]] = field(default_factory=list[dict[str, Any]])
    """The others, with `unverified`: why they do not count."""

    @property
    def last(self) -> dict[str, Any] | None:
        """The change that made the present champion."""
        return self.changes[-1] if self.changes else None

    @property
    def champion(self) -> int | None:
        """What the chain ends with."""
        return self.changes[-1]["to"] if self.changes else None

    def add(self, number: int, entry: Entry) -> None:
        """Append one that counts."""
        self.changes.append(entry.value | {"number": number})
        self.head = hashlib.sha256(f"{self.head}{entry.sha256}".encode()).hexdigest()
        self.heads.append(self.head)
        self.unsigned = [*self.unsigned, number] if entry.doubt else []


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
        for earlier in entry.value.get("covers", []):
            if earlier in waiting:
                chain.add(earlier, waiting.pop(earlier))
        if entry.value.get("previous") != chain.head:
            raise _broken(model, number, chain, waiting)
        chain.add(number, entry)
    chain.signed = chain.head
    for number, entry in waiting.items():
        if trust.lets(entry.doubt) and entry.value.get("from") == chain.champion and _whole(entry.value):
            chain.add(number, entry)
        else:
            why = entry.doubt.why if entry.doubt else ""
            chain.doubtful.append(_shown(entry.value) | {"number": number, "unverified": why})
    if seen and seen not in chain.heads and (trust.keys or chain.changes):
        raise _shortened(model, chain, trust.seen)
    return chain


def known_numbers(ledger: Mapping[str, Entry]) -> set[int]:
    """Numbers of all versions that a ledger has ever named."""
    values = [entry.value for entry in ledger.values() if entry.doubt is None]
    found = [value.get(key) for value in values for key in ("version", "from", "to")]
    found += [number for value in values for number in value.get("removed", [])]
    return {number for number in found if isinstance(number, int)}


def _whole(value: dict[str, Any]) -> bool:
    """Whether an entry has what is asked of it."""
    return {"to", "kind", "who", "when", "why", "id"} <= value.keys() and isinstance(value["to"], int)


def _shown(value: dict[str, Any]) -> dict[str, Any]:
    """An entry that may be anybody's, with all that is shown of one."""
    texts = {key: str(value.get(key, ""))[:200] for key in ("kind", "who", "when", "why")}
    numbers = {key: value.get(key) if isinstance(value.get(key), int) else None for key in ("from", "to")}
    return numbers | texts


def _broken(model: str, number: int, chain: Chain, waiting: Mapping[int, Entry]) -> RegistryError:
    before = (chain.last or {"number": 0})["number"]
    altered = [str(n) for n, entry in waiting.items() if entry.doubt and entry.doubt.altered]
    found = f"change {number} does not follow change {before}"
    found += f"; change {', '.join(altered)} was altered" if altered else "; one before it was changed or removed"
    return RegistryError(
        f"the history of {model}'s champions is not as it was signed",
        found=found,
        fix="restore the registry from a back-up; nothing was changed",
    )


def _shortened(model: str, chain: Chain, seen: Path | None) -> RegistryError:
    return RegistryError(
        f"the history of {model}'s champions has lost changes that were seen here before",
        found=f"it ends with change {(chain.last or {'number': 0})['number']}",
        fix=f"restore the registry from a back-up; if you restored an older one yourself, remove {seen}",
    )
