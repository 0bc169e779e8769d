"""account.json: what became of every file and annotation of a source, as `fetch` writes it."""

from __future__ import annotations

from pathlib import Path

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from mtl.errors import DataError


class Names(BaseModel):
    """Files of one kind: how many, and the first of them by name."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    number: int
    files: tuple[str, ...]


class FilesOfPath(BaseModel):
    """The files below one path. used + copies + problems + left out + not_data + ignored + unaccounted = found."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    path: str
    found: int
    used: int
    copies: int
    ignored: int
    problems: int
    left_out: dict[str, Names] = Field(description="by the reason that their set gives")
    not_data: Names
    unaccounted: Names = Field(description="nothing reads them, and nobody says that they are not meant")


class Account(BaseModel):
    """Of a whole data set."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    files: tuple[FilesOfPath, ...] = ()
    annotations: tuple[tuple[str, str], ...] = Field(
        default=(), description="[id, reason] of those that cannot be used"
    )
    num_annotations: int = 0
    notes: dict[str, int] = Field(default_factory=dict[str, int], description="what was changed on the way → how often")


def read_account(folder: Path) -> Account:
    """What became of the source's files and annotations; nothing if it wrote nothing.

    Raises:
        DataError: the file is damaged.
    """
    path = folder / "account.json"
    try:
        return Account.model_validate_json(path.read_bytes()) if path.exists() else Account()
    except ValidationError as error:
        found = "; ".join(f"{'.'.join(map(str, one['loc']))}: {one['msg']}" for one in error.errors()[:3])
        raise DataError(f"{path} is damaged", found=found, fix="dvc repro -f fetch writes it again") from error
