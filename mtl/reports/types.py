"""The typed JSON that stages hand on. Metrics keep their natural sign; `direction` says how they improve."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TypeVar

from pydantic import BaseModel, ConfigDict, Field, JsonValue, ValidationError

from mtl.errors import DataError, MtlError


class Report(BaseModel):
    """Frozen, with no unknown keys."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class NetworkCost(Report):
    """What a network costs, beside one network per task with the same backbone."""

    parameters: int
    multiply_adds: int = Field(description="of one image, forward")
    separate_parameters: int
    separate_multiply_adds: int


class EpochRow(Report):
    """One epoch: its place, and its metrics by name (`train/<task>/loss`, `val/<task>/<metric>`, `learning_rate` …). A metric is
    NaN where no step had what it is of.
    """

    model_config = ConfigDict(frozen=True, extra="allow")
    __pydantic_extra__: dict[str, float] = Field(init=False)  # pyright: ignore[reportIncompatibleVariableOverride]

    epoch: int = Field(description="from 0")
    step: int = Field(description="optimizer steps so far")
    seconds: float | None = Field(default=None, description="since the workers started; None: not said yet")
    cosines: tuple[tuple[float | None, ...], ...] | None = Field(
        default=None, description="between the tasks' gradients; None where no step had both"
    )

    @property
    def metrics(self) -> Mapping[str, float]:
        """Name → value."""
        return self.__pydantic_extra__

    def as_json(self) -> dict[str, JsonValue]:
        """In the order of history.csv."""
        row: dict[str, JsonValue] = {"epoch": self.epoch, "step": self.step, **self.metrics}
        if self.seconds is not None:
            row["seconds"] = self.seconds
        if self.cosines is not None:
            row["cosines"] = [list[JsonValue](line) for line in self.cosines]
        return row


class TrainReport(Report):
    """How a training went."""

    history: tuple[EpochRow, ...]
    best_epoch: int
    steps: int
    seconds: float
    joules: float | None = Field(default=None, description="since the workers last started; None: no meter")
    bf16: bool
    deterministic: bool | None = Field(default=None, description="whether it gives the same bits again; None: not kept")
    compiled: str = Field(default="off", description="the mode of torch.compile")
    world_size: int
    worlds: list[list[int]] = Field(
        description="[from which step on, with how many workers] of a training that lost some"
    )
    device: str
    parameters: dict[str, int] = Field(description="number of parameters: shared, then by task")
    cost: NetworkCost = Field(description="of the network, and of one network per task")
    pretrained: dict[str, JsonValue] | None = Field(default=None, description="what became of each pretrained tensor")


class PackageReport(Report):
    """The model as users load it."""

    weights_sha256: str
    num_bytes: int
    files: dict[str, str] = Field(description="file → SHA-256")


class Rule(Report):
    """One condition of the gate."""

    name: str
    required: str
    found: str
    passed: bool
    task: str | None = None
    bound: float | None = Field(default=None, description="what the interval is compared with")
    difference: float | None = Field(default=None, description="relative gain of the challenger; negative is a loss")
    low: float | None = None
    high: float | None = None


class Decision(Report):
    """What the gate decided, and why."""

    promote: bool
    champion: int | None = Field(description="the version compared with; None if there was none")
    summary: str
    rules: tuple[Rule, ...]


AnyReport = TypeVar("AnyReport", bound=BaseModel)
NAMED = 3
"""Things that do not fit which an error names."""


def parse_json(
    kind: type[AnyReport],
    content: bytes | str | Mapping[str, object],
    what: str,
    *,
    fix: str,
    refusal: type[MtlError] = DataError,
) -> AnyReport:
    """What JSON says: the one way in for what another process, or an older version of this program, wrote.

    Args:
        content: its text, or what was read from that.
        what: it is, in words.

    Raises:
        MtlError: of the type `refusal`: it does not fit.
    """
    try:
        if isinstance(content, Mapping):
            return kind.model_validate(content)
        return kind.model_validate_json(content)
    except ValidationError as error:
        raise refusal(f"{what} is damaged: it is no {kind.__name__}", found=_found(error), fix=fix) from error


def _found(error: ValidationError) -> str:
    problems = error.errors(include_url=False, include_context=False, include_input=False)
    told = [f"{'.'.join(map(str, one['loc'])) or 'all of it'}: {one['msg']}" for one in problems[:NAMED]]
    return "; ".join(told) + (f"; and {len(problems) - NAMED} more" if len(problems) > NAMED else "")


def read_report(kind: type[AnyReport], path: Path, *, fix: str = "dvc repro -f") -> AnyReport:
    """Read one report.

    Raises:
        DataError: it is missing, or not what its stage writes.
    """
    try:
        content = path.read_bytes()
    except FileNotFoundError as error:
        raise DataError(f"{path} is missing", fix="run the stages: dvc repro") from error
    return parse_json(kind, content, str(path), fix=fix)
