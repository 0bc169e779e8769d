"""A version that is not there: whether it never was, was removed, or was deleted or renamed in MLflow."""

from __future__ import annotations

from collections.abc import Sequence

from mtl.errors import GoneError, RegistryError
from mtl.registry.aliases import refuse_missing_model
from mtl.registry.chain import known_numbers
from mtl.registry.promotion import Promotions


def missing(promotions: Promotions, number: int, living: Sequence[int]) -> RegistryError:
    """What to say of a version that MLflow does not have.

    Args:
        living: numbers of the versions that it has.
    """
    ledger = promotions.ledger
    found = f"versions: {', '.join(map(str, living[-10:])) or 'none'}"
    was = number in known_numbers(ledger.read())
    if was and not living:
        try:
            refuse_missing_model(ledger.uri, promotions.client, promotions.model, f"version {number} was asked for")
        except GoneError as error:
            return error
    removed = promotions.removed().get(number)
    if removed is not None:
        return GoneError(
            f"version {number} of {promotions.model} was removed by retention",
            found=f"{removed.when} by {removed.who}: {removed.why}",
            fix="its promotions stay in mtl history; a back-up of before has it",
        )
    if was or any(one > number > 0 for one in living):
        return GoneError(
            f"version {number} of {promotions.model} was deleted in MLflow",
            found=found,
            fix="mtl registry repair registers it again, under another number, if its run still has the package",
        )
    return RegistryError(
        f"{promotions.model} has no version {number}", found=found, fix="mtl status names champion and challenger"
    )
