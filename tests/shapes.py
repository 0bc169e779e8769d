"""Shapes and types of tensors, as signatures have them, are checked in every call of a process that sets MTL_TEST_SHAPES."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, get_args

from beartype import beartype
from jaxtyping import AbstractArray, install_import_hook

ROOMS = ("mtl.objective", "mtl.tasks", "mtl.train.gradients")
"""Packages whose signatures have shapes."""
CHECKED = "MTL_TEST_SHAPES"
"""Variable of a process of tests in which they are checked: tests/objective/test_shapes.py starts one."""


def install() -> None:
    """Before any of these packages is imported."""
    install_import_hook(ROOMS, "tests.shapes.checked")


def checked(function: Callable[..., Any]) -> Callable[..., Any]:
    """A function that checks its tensors; everything else that it is given may be a stand-in."""
    hints = function.__annotations__
    shaped = {name: hint if _has_shape(hint) else Any for name, hint in hints.items()}
    if all(hint is Any for hint in shaped.values()):
        return function
    function.__annotations__ = shaped
    return beartype(function)


def _has_shape(hint: object) -> bool:
    inner = isinstance(hint, type) and issubclass(hint, AbstractArray)
    return inner or any(map(_has_shape, get_args(hint)))
