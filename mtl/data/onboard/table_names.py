"""What sets of several tables are called."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import PurePosixPath

from mtl.data.onboard.look import identifier


def set_names(files: Sequence[str]) -> dict[str, str]:
    """A name of a set for each table: its stem; of tables of one stem, their folder."""
    if len(files) == 1:
        return {files[0]: "images"}
    stems = [identifier(PurePosixPath(file).name.split(".")[0]) for file in files]
    if len({*stems}) < len(files):
        stems = [identifier(PurePosixPath(file).parent.as_posix()) for file in files]
    if len({*stems}) < len(files):
        stems = [f"{stem}_{number}" for number, stem in enumerate(stems)]
    return dict(zip(files, stems, strict=True))
