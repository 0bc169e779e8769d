"""One change of a model's champion, as an entry of the signed ledger says it."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict, Field, JsonValue, StrictInt

Setting = tuple[JsonValue, JsonValue]
"""Of the gate: [committed, used]; null where there is none."""


class Change(BaseModel):
    """Who became champion in whose place, and why; or, where both are the same, what else was done to the registry.

    Entries are signed: what a newer program adds stays as it is, and what older ones did not write yet has a default.
    """

    model_config = ConfigDict(frozen=True, extra="allow", validate_by_name=True, validate_by_alias=True)

    replaces: StrictInt | None = Field(default=None, alias="from", description="the champion until then")
    to: StrictInt | None = Field(description="the champion from then on; None: there is none")
    kind: str
    why: str
    who: str
    when: str = Field(description="ISO 8601")
    flow_run: str = ""
    id: str = ""
    previous: str | None = Field(default=None, description="hash of the chain before it; None: from before it was kept")
    settings: dict[str, Setting] = Field(
        default_factory=dict[str, Setting], description="of the gate, not as committed"
    )
    covers: tuple[StrictInt, ...] = Field(default=(), description="unsigned changes that this one vouches for")
    run: str | None = Field(default=None, description="of MLflow, of the version `to`: numbers may come again")
    removed: tuple[StrictInt, ...] = Field(default=(), description="versions that are kept no longer")
    again: dict[str, StrictInt] = Field(
        default_factory=dict[str, StrictInt], description="number of a version that was lost → its number now"
    )
    number: int = Field(default=0, description="of the change")
    unverified: str | None = Field(default=None, description="why it does not count, if so")

    @property
    def moves(self) -> bool:
        """Whether another version became champion."""
        return self.replaces != self.to

    def as_json(self) -> dict[str, JsonValue]:
        """What it says: what its entry left out is left out."""
        return self.model_dump(mode="json", by_alias=True, exclude_unset=True)
