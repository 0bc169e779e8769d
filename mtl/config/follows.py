"""How the targets of tasks follow the changes of `augment`, and why some do not: the words that the sections of tasks share."""

from __future__ import annotations

STAYS = {"rand_augment": "stays", "erasing": "stays"}
"""What moves nothing: every target stays as it is."""
CLASSES = STAYS | {"crop": "stays", "mixup": "mixed by shares", "cutmix": "mixed by areas"}
"""Of classes of a whole image."""
LIES = STAYS | {"crop": "moves", "cutmix": "pasted", "mosaic": "pasted"}
"""Of what lies somewhere in the image."""
MADE: dict[str, str] = {
    **dict.fromkeys(("crop", "rand_augment", "mixup", "cutmix", "mosaic"), "made after it"),
    "erasing": "made before it",
}
"""Of what a task makes of the image."""

NO_SHARES = {"mixup": "what lies somewhere is of one image or of the other, not of both by shares"}
NO_CLASS = {"mosaic": "what is seen of four images has no class of its own"}
NO_NUMBER: dict[str, str] = dict.fromkeys(("mixup", "cutmix", "mosaic"), "several images have no number together")
OF_A_PART = (
    "of a part of the image its target may be another, as a count is; where it is not, set its crop_invariant: true"
)
NOT_SAID = "its class does not say how its target follows it (`follows`)"
