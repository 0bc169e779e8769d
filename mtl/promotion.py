"""The chain of champions: every change names the version that it replaces, and the alias follows the chain.

A change is an entry of the ledger, which only one can write under the next number; so two at once cannot both win, and
none is lost. After a crash between entry and alias, whoever looks next sets the alias.

Every entry is signed and carries the chain's hash before it: what was changed, removed or put between is found. Entries that
nobody trusted has signed do not count and block nothing, but where there are no others, somebody must say what they are worth.
"""

from __future__ import annotations

import getpass
import hashlib
import logging
import os
import re
import socket
import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from mlflow import MlflowClient
from mlflow.exceptions import MlflowException

from mtl.config import RegistryError
from mtl.ledger import Entry, Ledger
from mtl.tracking import explained

CHAMPION = "champion"
CHANGE = "change"
"""Kind of the ledger's keys change/000001 and so on."""
PROMOTION, ROLLBACK, OUTSIDE, ADOPTION = "promotion", "rollback", "outside", "adoption"
"""Kinds of changes; outside: the alias was there before the ledger; adoption: somebody vouches for what was not signed."""
ATTEMPTS = 3
"""Of setting an alias that others may be setting too."""
WAY_ON = (
    "name the key of whoever signed it in MTL_SIGNING_PUBLIC_KEY; or look at it, and let it through with mtl --unverified …; "
    "mtl --unverified adopt signs it"
)


@dataclass
class Chain:
    """The changes that count, and those that do not."""

    changes: list[dict[str, Any]] = field(default_factory=list[dict[str, Any]])
    head: str = ""
    """Hash over the texts of all changes that count."""
    heads: list[str] = field(default_factory=list[str])
    """What `head` was after each."""
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


class Promotions:
    """The champions of one registered model."""

    def __init__(self, client: MlflowClient, model: str, ledger: Ledger) -> None:
        self.client, self.model, self.ledger = client, model, ledger

    def chain(self) -> Chain:
        """The changes, verified.

        Raises:
            RegistryError: one was changed, removed, or put in another's place.
        """
        trust = self.ledger.trust
        seen = trust.recall(self.ledger.place)
        read = self.ledger.read()
        entries = {int(key[len(CHANGE) + 1 :]): e for key, e in read.items() if re.fullmatch(rf"{CHANGE}/\d{{6}}", key)}
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
                raise _broken(self.model, number, chain, waiting)
            chain.add(number, entry)
        if seen and seen not in chain.heads:
            raise _shortened(self.model, chain, trust.seen)
        trust.remember(self.ledger.place, chain.head)
        for number, entry in waiting.items():
            if trust.lets(entry.doubt) and entry.value.get("from") == chain.champion and _whole(entry.value):
                chain.add(number, entry)
            else:
                doubt = entry.doubt.why if entry.doubt else ""
                chain.doubtful.append(_shown(entry.value) | {"number": number, "unverified": doubt})
        return chain

    def history(self) -> list[dict[str, Any]]:
        """Every change that counts, oldest first: number, kind, from, to, who, when, why, flow_run, id.

        Raises:
            RegistryError: as `chain`; or there are changes, and none is by anybody who is trusted.
        """
        chain = self.chain()
        if chain.doubtful and not chain.changes:
            first = chain.doubtful[0]
            raise RegistryError(
                f"the champions of {self.model} are unverified: no change was signed by anybody who is trusted here",
                found=f"change {first['number']} by {first.get('who')}: {first['unverified']}",
                fix=WAY_ON,
            )
        if chain.doubtful:
            numbers = ", ".join(str(change["number"]) for change in chain.doubtful)
            logging.getLogger(__name__).warning(
                f"changes of the champion that do not count: {numbers} ({chain.doubtful[0]['unverified']})"
            )
        return chain.changes

    def shown(self) -> list[dict[str, Any]]:
        """Every change, for people to look at: those that do not count say with `unverified` why.

        Raises:
            RegistryError: as `chain`.
        """
        chain = self.chain()
        return sorted([*chain.changes, *chain.doubtful], key=lambda change: change["number"])

    def champion(self) -> int | None:
        """The version that is champion: what the chain ends with. An alias that names another one, after a crash or moved
        in MLflow itself, is set back.

        Raises:
            RegistryError: as `history`; or an alias names one, and no change that counts does.
        """
        alias = aliased(self.ledger.uri, self.client, self.model, CHAMPION)
        changes = self.history()  # after the alias, which follows its entry: one without an entry is from elsewhere
        named = int(alias.version) if alias else None
        if not changes and named is not None:
            if not self.ledger.trust.unverified:
                raise RegistryError(
                    f"the champion of {self.model} is unverified: nobody who is trusted has made it champion",
                    found=f"MLflow's alias names version {named}",
                    fix=f"delete the alias in MLflow; or {WAY_ON}",
                )
            self._write(Chain(), named, OUTSIDE, "the alias was there before the ledger")  # or somebody else's: as good
            changes = self.history()
        elif changes and named != changes[-1]["to"]:
            self._settle()
            changes = self.history()
        return changes[-1]["to"] if changes else None

    def promote(
        self,
        number: int,
        expected: int | None,
        *,
        kind: str = PROMOTION,
        why: str = "",
        flow_run: str = "",
        settings: Mapping[str, Sequence[Any]] | None = None,
    ) -> dict[str, Any]:
        """Make a version champion in place of the one that is expected to be it; the entry.

        Args:
            settings: of the gate that were others than the committed ones: key → [committed, used].

        Raises:
            RegistryError: another version has become champion since; nothing was changed.
        """
        self.champion()  # an alias from before the ledger is entered
        chain = self.chain()
        if chain.champion != expected:
            raise _moved(chain.champion, expected)
        entry, stands = self._write(chain, number, kind, why, flow_run, settings)
        if stands["id"] != entry["id"]:
            raise _moved(stands["to"], expected)
        self._settle()
        return entry

    def of(self, number: int) -> dict[str, Any] | None:
        """The entry by which the gate made a version champion, if it did."""
        return next((e for e in self.history() if e["to"] == number and e["kind"] == PROMOTION), None)

    def _write(
        self,
        chain: Chain,
        to: int | None,
        kind: str,
        why: str,
        flow_run: str = "",
        settings: Mapping[str, Sequence[Any]] | None = None,
    ) -> tuple[dict[str, Any], dict[str, Any]]:
        """The next entry of a chain, and the one that stands in its place: the same, or an earlier one."""
        number = (chain.last or {"number": 0})["number"] + 1
        entry = {
            "from": chain.champion,
            "to": to,
            "kind": kind,
            "why": why[:2000],
            "who": actor(),
            "when": datetime.now(UTC).isoformat(timespec="seconds"),
            "flow_run": flow_run,
            "id": uuid.uuid4().hex,
            "previous": chain.head,
        }
        entry |= {"settings": {key: list(values) for key, values in settings.items()}} if settings else {}
        entry |= {"covers": chain.unsigned} if chain.unsigned else {}
        while True:
            stands = self.ledger.write(f"{CHANGE}/{number:06d}", entry)
            if stands.doubt is None:
                return entry, stands.value
            number += 1  # this one is taken by what does not count

    def _settle(self) -> None:
        """Let the alias name what the chain ends with, whoever else moves it meanwhile."""
        while True:
            last = self.history()[-1]
            point(self.ledger.uri, self.client, self.model, CHAMPION, last["to"])
            if self.history()[-1]["number"] == last["number"]:
                return


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


def actor() -> str:
    """Who does what is entered: this process's user and machine, as the system has them; and MTL_ACTOR, which anybody may
    say, beside it."""
    said = os.environ.get("MTL_ACTOR")
    return f"{_user()}@{socket.gethostname()}" + (f" ({said[:100]})" if said else "")


def _user() -> str:
    try:
        import pwd

        return pwd.getpwuid(os.geteuid()).pw_name
    except ImportError:  # Windows
        return getpass.getuser()
    except KeyError:  # in a container, perhaps
        return f"uid {os.geteuid()}"


def point(uri: str, client: MlflowClient, model: str, alias: str, number: int) -> None:
    """Let an alias name a version. MLflow looks whether there is one, and inserts it if not: of two that do so at once one is
    refused, and finds it there when it tries again.

    Raises:
        RegistryError: MLflow refuses it or is out of reach.
    """
    with explained(uri):
        for attempt in range(ATTEMPTS):
            try:
                client.set_registered_model_alias(model, alias, str(number))
                return
            except MlflowException:
                if attempt == ATTEMPTS - 1:
                    raise


def aliased(uri: str, client: MlflowClient, model: str, alias: str) -> Any:
    """MLflow's version that an alias names; None if there is none.

    Raises:
        RegistryError: MLflow refuses it or is out of reach.
    """
    with explained(uri):
        try:
            return client.get_model_version_by_alias(model, alias)
        except MlflowException as error:
            if error.error_code in ("RESOURCE_DOES_NOT_EXIST", "INVALID_PARAMETER_VALUE"):
                return None
            raise


def _moved(found: int | None, expected: int | None) -> RegistryError:
    return RegistryError(
        "the champion has changed meanwhile: nothing was promoted",
        found=f"version {found or 'none'} instead of {expected or 'none'}",
        fix="run again: the gate compares with the present champion",
    )
