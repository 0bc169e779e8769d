"""A registered version, as it was signed: what MLflow says of it counts only where the signed statement says the same."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field

from pydantic import ConfigDict, Field, ValidationError

from mtl.errors import RegistryError
from mtl.registry.aliases import STATEMENT
from mtl.registry.tracking import FINGERPRINT
from mtl.registry.trust import Doubt, Trust
from mtl.reports.types import Report, parse_json

DECIDED = "mtl.decided"
"""Tag: what was signed when the gate had decided; STATEMENT: when the version was registered."""
DECISION = "mtl.decision"
"""Tag: the decision in words, for MLflow's page."""
KIND, DECISION_KIND = "version", "decision"
FIX = "mtl of the version that wrote it reads it; else restore the registry from a back-up"


class Statement(Report):
    """What is signed of a version when it is registered, but for what its signature is compared with."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    run: str
    tags: dict[str, str]
    files: dict[str, str] = Field(description="artifact of the run → its SHA-256")
    num_bytes: int | None = Field(default=None, description="of the package")


class Verdict(Report):
    """What is signed when the gate has decided."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    summary: str
    files: dict[str, str] = Field(description="artifact of the run → its SHA-256")


class Described(Report):
    """A version, or what is left of one, for people to look at."""

    version: int | None
    gone: str | None = Field(default=None, description="why MLflow has it no longer; then nothing else is known")
    fingerprint: str | None = None
    data: str | None = None
    commit: str | None = None
    dirty: bool = False
    weights_sha256: str | None = None
    decision: str | None = None
    unverified: str | None = Field(default=None, description="why it is not verified, if so")
    metrics: dict[str, dict[str, float]] = Field(default_factory=dict[str, dict[str, float]])

    def as_json(self) -> dict[str, object]:
        """As `mtl status --json` prints it."""
        if self.gone is not None:
            return self.model_dump(include={"version", "gone", "unverified", "weights_sha256", "decision", "metrics"})
        return self.model_dump(exclude={"gone"})


@dataclass(frozen=True)
class Version:
    """A version and its tags: the signed ones, if it is verified."""

    number: int
    run: str
    tags: dict[str, str]
    files: dict[str, str] = field(default_factory=dict[str, str])
    """Artifact of the run → its SHA-256, as it was signed."""
    num_bytes: int | None = None
    """Of the package."""
    doubt: Doubt | None = field(default_factory=lambda: Doubt("it was not looked at"))
    """Why it is not verified, if so."""

    def describe(self, metrics: dict[str, dict[str, float]]) -> Described:
        """What `mtl status` shows."""
        return Described(
            version=self.number,
            fingerprint=self.tags.get(FINGERPRINT),
            data=self.tags.get("mtl.data"),
            commit=self.tags.get("mtl.commit"),
            dirty=self.tags.get("mtl.dirty") == "true",
            weights_sha256=self.tags.get("mtl.weights_sha256"),
            decision=self.tags.get(DECISION),
            unverified=self.doubt.why if self.doubt else None,
            metrics=metrics,
        )

    def refuse(self) -> RegistryError:
        """The error for one that may not be used."""
        assert self.doubt is not None
        if self.doubt.altered:
            return RegistryError(
                f"version {self.number} is not what was registered: nothing of it was used",
                found=self.doubt.why,
                fix="restore the registry from a back-up, or register the version again (mtl retrain --force)",
            )
        return RegistryError(
            f"version {self.number} is unverified: nothing of it was used",
            found=self.doubt.why,
            fix="name the key of whoever signed it in MTL_SIGNING_PUBLIC_KEY; or look at it (mtl lineage), and let it through "
            "with mtl --unverified …; mtl --unverified adopt signs it",
        )


def statement(
    trust: Trust, model: str, number: int, run: str, tags: Mapping[str, str], files: Mapping[str, str], num_bytes: int
) -> str:
    """What is signed when a version is registered."""
    content = {"kind": KIND, "model": model, "version": number, "run": run}
    return json.dumps(trust.sign({**content, "tags": dict(tags), "files": dict(files), "num_bytes": num_bytes}))


def decision(trust: Trust, model: str, version: Version, summary: str, files: Mapping[str, str]) -> str:
    """What is signed when the gate has decided."""
    content = {"kind": DECISION_KIND, "model": model, "version": version.number, "run": version.run}
    return json.dumps(trust.sign({**content, "summary": summary, "files": dict(files)}))


def read(trust: Trust, model: str, number: int, run: str, tags: dict[str, str]) -> Version:
    """The version that MLflow has under a number, compared with what was signed."""
    signed, doubt = trust.check(_parsed(tags.get(STATEMENT)), KIND, model=model, version=number, run=run)
    if doubt is not None:
        return Version(number, run, tags, doubt=doubt)
    said = parse_json(Statement, signed, f"the statement of version {number}", fix=FIX, refusal=RegistryError)
    own = said.tags
    other = sorted(key for key, value in own.items() if tags.get(key) != value)
    if other:
        was, found = own[other[0]], tags.get(other[0])
        why = f"its tag {other[0]} was {was[:80]!r} when it was signed, and is {str(found)[:80]!r}"
        return Version(number, run, own, doubt=Doubt(why, altered=True))
    files = said.files
    decided, open_to_doubt = trust.check(
        _parsed(tags.get(DECIDED)), DECISION_KIND, model=model, version=number, run=run
    )
    if open_to_doubt is None:
        verdict = parse_json(Verdict, decided, f"the decision on version {number}", fix=FIX, refusal=RegistryError)
        own, files = {**own, DECISION: verdict.summary}, {**verdict.files, **files}
    return Version(number, run, own, files, said.num_bytes, None)


def recalled(trust: Trust, model: str, number: int, signed: str, decided: str = "") -> Version:
    """The version that a kept statement is of, though MLflow has it no longer."""
    parsed = _parsed(signed)
    payload = parsed.get("payload") if isinstance(parsed, dict) else None
    try:
        said = Statement.model_validate(payload)
    except ValidationError:
        said = Statement(run="", tags={}, files={})
    return read(trust, model, number, said.run, {**said.tags, STATEMENT: signed, DECIDED: decided})


def _parsed(text: str | None) -> object:
    try:
        return json.loads(text or "null")
    except (ValueError, RecursionError):
        return None
