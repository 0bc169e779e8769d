"""The chain of champions: every change names the version that it replaces, and the alias follows the chain.

A change is an entry of the ledger, which only one can write under the next number; so two at once cannot both win, and
none is lost. After a crash between entry and alias, whoever looks next sets the alias.

Every entry is signed and carries the chain's hash before it: what was changed, removed or put between is found. Entries that
nobody trusted has signed do not count and block nothing, but where there are no others, somebody must say what they are worth.
"""

from __future__ import annotations

import json
import logging
import uuid
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

from mtl.actor import actor
from mtl.chain import CHANGE, Chain, read_chain
from mtl.config import RegistryError
from mtl.ledger import Ledger
from mtl.records.client import ReadingClient
from mtl.redaction import redact
from mtl.tracking import explained, refusals

CHAMPION = "champion"
PROMOTION, ROLLBACK, OUTSIDE, ADOPTION = "promotion", "rollback", "outside", "adoption"
"""Kinds of changes; outside: the alias was there before the ledger; adoption: somebody vouches for what was not signed."""
ATTEMPTS = 3
"""Of setting an alias that others may be setting too."""
MAX_REASON = 2400
"""Characters of a reason as JSON."""
WAY_ON = (
    "name the key of whoever signed it in MTL_SIGNING_PUBLIC_KEY; or look at it, and let it through with mtl --unverified …; "
    "mtl --unverified adopt signs it"
)


class Promotions:
    """The champions of one registered model."""

    def __init__(self, client: ReadingClient, model: str, ledger: Ledger) -> None:
        self.client, self.model, self.ledger = client, model, ledger

    def chain(self) -> Chain:
        """The changes, verified.

        Raises:
            RegistryError: one was changed or removed, put in another's place, or cut off the end.
        """
        trust = self.ledger.trust
        seen = trust.recall(self.ledger.place)  # first, for others go on writing
        chain = read_chain(self.model, self.ledger.read(), trust, seen)
        trust.remember(self.ledger.place, chain.signed)
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

    def adopt(self) -> None:
        """Sign for the changes that nobody signed and that are let through."""
        chain = self.chain()
        if chain.unsigned:
            self._write(
                chain, chain.champion, ADOPTION, f"changes {', '.join(map(str, chain.unsigned))} are vouched for"
            )

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
            "why": _shortened(redact(why)),
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


def _shortened(why: str) -> str:
    """A reason, cut where an entry of the ledger would not hold it: JSON needs six characters for one that is not ASCII."""
    if len(json.dumps(why)) <= MAX_REASON:
        return why
    while len(json.dumps(why)) > MAX_REASON:
        why = why[: len(why) * 9 // 10]
    return f"{why} …"


def point(uri: str, client: ReadingClient, model: str, alias: str, number: int) -> None:
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
            except refusals():
                if attempt == ATTEMPTS - 1:
                    raise


def aliased(uri: str, client: ReadingClient, model: str, alias: str) -> Any:
    """MLflow's version that an alias names; None if there is none.

    Raises:
        RegistryError: MLflow refuses it or is out of reach.
    """
    with explained(uri):
        return client.find_alias(model, alias)


def _moved(found: int | None, expected: int | None) -> RegistryError:
    return RegistryError(
        "the champion has changed meanwhile: nothing was promoted",
        found=f"version {found or 'none'} instead of {expected or 'none'}",
        fix="run again: the gate compares with the present champion",
    )
