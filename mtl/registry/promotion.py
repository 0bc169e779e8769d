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
from types import EllipsisType
from typing import TYPE_CHECKING

from pydantic import JsonValue

from mtl.errors import GoneError, RegistryError
from mtl.output.redaction import redact
from mtl.registry.actor import actor
from mtl.registry.aliases import LOST, aliased, lookup_version, point, refuse_gone, same_version, unpoint
from mtl.registry.chain import CHANGE, Chain, change_of, read_chain
from mtl.registry.ledger import Ledger
from mtl.registry.records.client import ReadingClient
from mtl.reports.change import Change

if TYPE_CHECKING:
    from mtl.registry.records.entities import ModelVersion

CHAMPION = "champion"
PROMOTION, ROLLBACK, OUTSIDE, ADOPTION = "promotion", "rollback", "outside", "adoption"
REPAIR, LOSS, REMOVAL = "repair", "loss", "removal"
"""Kinds of entries. Outside: the alias was there before the ledger; adoption: somebody vouches for what was not signed; repair:
something that was deleted in MLflow is back, a version under another number perhaps; loss: the champion is not, and there is
none now; removal: versions that are kept no longer. Those that leave the champion as it is go from it to itself."""
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
        seen = trust.recall(self.ledger.history)  # first, for others go on writing
        entries = self.ledger.read()
        chain = read_chain(self.model, entries, trust, seen)
        if chain.signed and chain.signed != seen:
            trust.save_entries(self.ledger.history, {key: entry.text for key, entry in entries.items()})
        trust.remember(self.ledger.history, chain.signed)
        return chain

    def history(self) -> list[Change]:
        """Every change that counts, oldest first.

        Raises:
            RegistryError: as `chain`; or there are changes, and none is by anybody who is trusted.
        """
        chain = self.chain()
        if chain.doubtful and not chain.changes:
            first = chain.doubtful[0]
            raise RegistryError(
                f"the champions of {self.model} are unverified: no change was signed by anybody who is trusted here",
                found=f"change {first.number} by {first.who}: {first.unverified}",
                fix=WAY_ON,
            )
        if chain.doubtful:
            numbers = ", ".join(str(change.number) for change in chain.doubtful)
            logging.getLogger(__name__).warning(
                f"changes of the champion that do not count: {numbers} ({chain.doubtful[0].unverified})"
            )
        return chain.changes

    def shown(self) -> list[Change]:
        """Every change, for people to look at: those that do not count say with `unverified` why.

        Raises:
            RegistryError: as `chain`.
        """
        chain = self.chain()
        return sorted([*chain.changes, *chain.doubtful], key=lambda change: change.number)

    def champion(self) -> int | None:
        """The version that is champion: what the chain ends with. An alias that names another one, after a crash or moved
        in MLflow itself, is set back.

        Raises:
            RegistryError: as `history`; or an alias names one, and no change that counts does.
            GoneError: the version was deleted in MLflow, or another one has its number.
        """
        alias = aliased(self.ledger.uri, self.client, self.model, CHAMPION)
        # After the alias, which follows its entry: one without an entry is from elsewhere.
        changes = self._entered(alias)
        named = int(alias.version) if alias else None
        if changes and (number := changes[-1].to) is not None:
            found = alias if named == number else None
            refuse_gone(self.ledger.uri, self.client, self.model, changes, number, found)
        if changes and named != changes[-1].to:
            logging.getLogger(__name__).warning(
                f"the alias {CHAMPION} named {_version(named)}: it is set to {_version(changes[-1].to)}, as in mtl history"
            )
            self._settle()
            changes = self.history()
        return changes[-1].to if changes else None

    def recorded(self) -> int | None:
        """What the chain ends with, whether or not MLflow still has it.

        Raises:
            RegistryError: as `champion`.
        """
        changes = self._entered(aliased(self.ledger.uri, self.client, self.model, CHAMPION))
        return changes[-1].to if changes else None

    def _entered(self, alias: ModelVersion | None) -> list[Change]:
        """The history; an alias from before there was one is entered, where what is unverified is let through."""
        changes = self.history()
        if changes or alias is None:
            return changes
        if not self.ledger.trust.unverified:
            raise RegistryError(
                f"the champion of {self.model} is unverified: nobody who is trusted has made it champion",
                found=f"MLflow's alias names version {alias.version}",
                fix=f"delete the alias in MLflow; or {WAY_ON}",
            )
        # Or somebody else enters it: as good.
        self._write(Chain(), int(alias.version), OUTSIDE, "the alias was there before the ledger")
        return self.history()

    def before(self, number: int | None) -> int | None:
        """Who was champion before a version became it, rollbacks to it left out."""
        entry = next((c for c in reversed(self.moves()) if c.to == number and c.kind != ROLLBACK), None)
        if entry is not None and entry.kind == REPAIR:  # the same under another number
            return self.before(entry.replaces)
        return entry.replaces if entry else None

    def now(self, number: int) -> int:
        """The number that a version has since it was registered again."""
        for entry in self.history():
            number = entry.again.get(str(number), number)
        return number

    def moves(self) -> list[Change]:
        """The entries that made another version champion, oldest first."""
        return [entry for entry in self.history() if entry.moves]

    def lost(self) -> str:
        """Why there is no champion though there was one, in a line; empty if that is not so."""
        changes = self.history()
        return changes[-1].why if changes and changes[-1].to is None else ""

    def removed(self) -> dict[int, Change]:
        """Versions that are kept no longer, with the entry that says why."""
        return {number: entry for entry in self.history() for number in entry.removed}

    def note(
        self,
        kind: str,
        why: str,
        *,
        to: int | EllipsisType | None = ...,
        removed: Sequence[int] = (),
        again: Mapping[str, int] | None = None,
    ) -> Change:
        """Enter what was done to the registry.

        Args:
            to: the champion from now on; as it is, if not said.
            removed: versions that are kept no longer.
            again: number of a version that was lost → its number now.
        """
        chain = self.chain()
        target = chain.champion if isinstance(to, EllipsisType) else to
        more: dict[str, JsonValue] = {"removed": list[JsonValue](removed)} if removed else {}
        more |= {"again": dict[str, JsonValue](again)} if again else {}
        entry, stands = self._write(chain, target, kind, why, more=more)
        if stands.id != entry.id:
            raise _moved(stands.to, chain.champion)
        if target != chain.champion:
            self._settle()
        return entry

    def promote(
        self,
        number: int,
        expected: int | None,
        *,
        kind: str = PROMOTION,
        why: str = "",
        flow_run: str = "",
        settings: Mapping[str, Sequence[JsonValue]] | None = None,
    ) -> Change:
        """Make a version champion in place of the one that is expected to be it; the entry.

        Args:
            settings: of the gate that were others than the committed ones: key → [committed, used].

        Raises:
            RegistryError: another version has become champion since; nothing was changed.
        """
        self.recorded()  # an alias from before the ledger is entered
        chain = self.chain()
        if chain.champion != expected:
            raise _moved(chain.champion, expected)
        entry, stands = self._write(chain, number, kind, why, flow_run, settings)
        if stands.id != entry.id:
            raise _moved(stands.to, expected)
        self._settle()
        return entry

    def adopt(self) -> None:
        """Sign for the changes that nobody signed and that are let through."""
        chain = self.chain()
        if chain.unsigned:
            self._write(
                chain, chain.champion, ADOPTION, f"changes {', '.join(map(str, chain.unsigned))} are vouched for"
            )

    def of(self, number: int) -> Change | None:
        """The entry by which the gate made a version champion, if it did."""
        entries = [e for e in self.history() if e.to == number and e.kind == PROMOTION]
        if not entries or (found := lookup_version(self.ledger.uri, self.client, self.model, number)) is None:
            return None
        return next((entry for entry in entries if same_version(entry, found)), None)

    def _write(
        self,
        chain: Chain,
        to: int | None,
        kind: str,
        why: str,
        flow_run: str = "",
        settings: Mapping[str, Sequence[JsonValue]] | None = None,
        more: Mapping[str, JsonValue] | None = None,
    ) -> tuple[Change, Change]:
        """The next entry of a chain, and the one that stands in its place: the same, or an earlier one.

        Raises:
            GoneError: there is no such version any more.
        """
        found = lookup_version(self.ledger.uri, self.client, self.model, to) if to and to != chain.champion else None
        if to and to != chain.champion and found is None:
            raise GoneError(f"{self.model} has no version {to} any more: it does not become champion", fix=LOST)
        number = chain.end + 1
        entry: dict[str, JsonValue] = {
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
        entry |= {"covers": list[JsonValue](chain.unsigned)} if chain.unsigned else {}
        entry |= {"run": found.run_id} if found else {}  # a number may come again, once the model was deleted
        entry |= more or {}
        while True:
            stands = self.ledger.write(f"{CHANGE}/{number:06d}", entry)
            if stands.doubt is None:
                return Change.model_validate(entry | {"number": number}), change_of(number, stands)
            number += 1  # this one is taken by what does not count

    def _settle(self) -> None:
        """Let the alias name what the chain ends with, whoever else moves it meanwhile."""
        while True:
            last = self.history()[-1]
            if last.to is None:
                unpoint(self.ledger.uri, self.client, self.model, CHAMPION)
            else:
                point(self.ledger.uri, self.client, self.model, CHAMPION, last.to)
            if self.history()[-1].number == last.number:
                return


def _shortened(why: str) -> str:
    """A reason, cut where an entry of the ledger would not hold it: JSON needs six characters for one that is not ASCII."""
    if len(json.dumps(why)) <= MAX_REASON:
        return why
    while len(json.dumps(why)) > MAX_REASON:
        why = why[: len(why) * 9 // 10]
    return f"{why} …"


def _version(number: int | None) -> str:
    return f"version {number}" if number else "no version"


def _moved(found: int | None, expected: int | None) -> RegistryError:
    return RegistryError(
        "the champion has changed meanwhile: nothing was promoted",
        found=f"version {found or 'none'} instead of {expected or 'none'}",
        fix="run again: the gate compares with the present champion",
    )
