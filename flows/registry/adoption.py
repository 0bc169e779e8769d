"""`mtl adopt`: the owner signs for versions and changes that have no signature that counts: those of before there were statements,
or of a key that is lost.
"""

from __future__ import annotations

from collections.abc import Sequence

from flows.registry.load import load_versions
from flows.settings import Settings
from mtl.errors import RegistryError


def adopt(settings: Settings, numbers: Sequence[int]) -> list[int]:
    """Sign versions, all unverified ones if none is named, and the history of champions, as they are now; which were signed.

    Raises:
        RegistryError: nobody said that what is unverified may be let through; or something was altered.
    """
    _, registry = load_versions(settings)
    if not registry.trust.unverified:
        raise RegistryError(
            "what is unverified is signed only by somebody who has looked at it",
            fix="look at mtl lineage and mtl history; then mtl --unverified adopt",
        )
    versions = [registry.get(number) for number in numbers] or registry.versions()
    signed = [registry.adopt(version).number for version in versions if version.doubt is not None]
    registry.promotions.adopt()
    return signed
