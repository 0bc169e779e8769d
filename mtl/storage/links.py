"""Links in a folder that somebody else made: they must not lead out of it, nor round in circles."""

from __future__ import annotations

import os
import re
from pathlib import Path

from mtl.errors import DataError

FOLLOWED = "MTL_FOLLOW_LINKS"
"""Of the environment: further folders in which links may end, with a colon between them."""
_OF_DVC = re.compile(r"/files/md5/[0-9a-f]{2}/[0-9a-f]{30}$")
"""Where DVC keeps a file by its content: it may put links to its cache in the place of files."""


def check_link(root: str, name: str) -> None:
    """Nothing, of a link that ends in this folder, in DVC's cache or where the environment says.

    Raises:
        DataError: it ends elsewhere, or in a folder that it lies in.
    """
    found = os.path.realpath(f"{root}/{name}")
    if _OF_DVC.search(found):
        return
    folder = os.path.realpath(f"{root}/{name}".rpartition("/")[0])
    straight = f"{os.path.realpath(root)}/{name}".rpartition("/")[0]
    if Path(found).is_dir() and (Path(folder).is_relative_to(found) or folder != straight):
        fix = "remove it, or put the files themselves in its place"
        raise DataError(f"{root} has a link that leads round in circles, or lies behind another", found=name, fix=fix)
    allowed = [root, *filter(None, os.environ.get(FOLLOWED, "").split(os.pathsep))]
    if not any(Path(found).is_relative_to(os.path.realpath(one)) for one in allowed):
        raise DataError(
            f"{root} has a link that leads out of it",
            found=f"{name} → {found}",
            fix=f"put the file itself in its place, or name the folder in {FOLLOWED} in the environment",
        )


def check_file(root: str, name: str) -> None:
    """Nothing, of an ordinary file in this folder, or of one that is not there.

    Raises:
        DataError: it lies elsewhere, or is a device or a pipe, which may never end.
    """
    path = f"{root}/{name}"
    try:
        real = os.path.realpath(path)
    except (OSError, ValueError) as error:
        raise DataError(f"{name[:200]!r} is no file's name", found=str(error)) from error
    if real != os.path.join(os.path.realpath(root), os.path.normpath(name)):  # noqa: PTH118  # no Path: it may be any text
        check_link(root, name)
    if Path(real).exists() and not Path(real).is_file():
        raise DataError(f"{name} is no file", fix="name a file")
