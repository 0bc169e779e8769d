"""Which image is in which split."""

from __future__ import annotations

import re
from datetime import date
from typing import Annotated, Literal

from pydantic import Field, model_validator

from mtl.config.section import Fraction, Section


class GroupedSplit(Section):
    """What every split has: a group, which a table's column or the id names, is in one split."""

    group: str = Field(
        default="", description="regular expression on the id whose first group must stay in one split, e.g. ^([^/]+)/"
    )

    @model_validator(mode="after")
    def _expression(self) -> GroupedSplit:
        try:
            groups = re.compile(self.group).groups
        except re.error as error:
            raise ValueError(f"group is no regular expression: {error}") from error
        if self.group and groups != 1:
            raise ValueError(f"group must have exactly one (…), found {groups} in {self.group!r}")
        return self


class HashedSplit(GroupedSplit):
    """What splits by hash have: an image's place depends on nothing but itself, so new images move no old one."""

    val: Fraction = Field(default=0.1, description="share of the validation split")
    test: Fraction = Field(default=0.1, description="share of the test split")
    salt: str = Field(default="", description="another one draws other splits")

    @model_validator(mode="after")
    def _shares(self) -> HashedSplit:
        if self.val + self.test >= 1.0:
            raise ValueError(f"val + test must be below 1, found {self.val + self.test:g}: nothing is left to train on")
        return self


class RandomSplit(HashedSplit):
    """By hash of the group, or of the image's content: copies of an image are always in one split."""

    type: Literal["random"]


class StratifiedSplit(HashedSplit):
    """As a table says that `mtl data split` keeps balanced over several targets at once, of its images and what is in their
    groups; the rest by hash.
    """

    type: Literal["stratified"]
    over: tuple[str, ...] = Field(description="targets whose classes every split gets its share of")
    table: str = Field(default="data/splits.csv", description="id,split and group; commit it: images in it never move")


class FoldsSplit(HashedSplit):
    """k folds by hash: fold `index` is validation; the test split is the same for all."""

    type: Literal["folds"]
    folds: Annotated[int, Field(ge=2)] = Field(default=5, description="how many")
    index: Annotated[int, Field(ge=0)] = Field(default=0, description="the fold that is the validation split")

    @model_validator(mode="after")
    def _index(self) -> FoldsSplit:
        if self.index >= self.folds:
            raise ValueError(f"index must be below folds, found {self.index} of {self.folds}")
        return self


class TimeSplit(GroupedSplit):
    """Train on the past, test on the latest: by the set's time, or by a date in the id. Of a group that goes on into a later split
    than it began in, the later images are left out.
    """

    type: Literal["time"]
    val_from: date = Field(strict=False, description="the first day of the validation split")
    test_from: date = Field(strict=False, description="the first day of the test split")
    pattern: str = Field(
        default=r"(\d{4})-?(\d{2})-?(\d{2})", description="year, month and day in the id of sets that have no time"
    )

    @model_validator(mode="after")
    def _order(self) -> TimeSplit:
        if self.val_from >= self.test_from:
            raise ValueError(f"val_from must lie before test_from, found {self.val_from} and {self.test_from}")
        return self


class GivenSplit(GroupedSplit):
    """As the sets say: folders train, val and test, a table's column, COCO files named so. A group in several is left out."""

    type: Literal["given"]
    val: Fraction = Field(
        default=0.1,
        description="where no set names a validation split: the share of the training images, drawn by hash, that becomes it",
    )
    salt: str = Field(default="", description="another one draws other validation images")
    judged_on: Literal["test", "val"] = Field(
        default="test",
        description="the split that versions are judged on; val where the sets have no test split: the best epoch is chosen on the "
        "same images, which flatters all versions a little",
    )


Split = Annotated[
    RandomSplit | StratifiedSplit | FoldsSplit | TimeSplit | GivenSplit,
    Field(discriminator="type"),
]
