"""Which formats are in a folder, an archive or a bucket. A row of the table per format; what an earlier one claims, no later one takes."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import replace

from mtl.data.onboard import (
    class_lists,
    cvat,
    elsewhere,
    huggingface,
    image_folder,
    kitti,
    labelme,
    pairs,
    tables,
    via,
    voc,
    webdataset,
    yolo,
)
from mtl.data.onboard.coco import COCO
from mtl.data.onboard.createml import CREATEML
from mtl.data.onboard.datumaro import DATUMARO
from mtl.data.onboard.documents import Kind, detect_documents
from mtl.data.onboard.label_studio import LABEL_STUDIO
from mtl.data.onboard.labelme import LABELME
from mtl.data.onboard.look import Finding, Look
from mtl.data.onboard.supervisely import SUPERVISELY
from mtl.data.onboard.via import VIA
from mtl.errors import DataError, MtlError

Detector = Callable[[Look], Iterable[Finding]]

DOCUMENTS: tuple[Kind, ...] = (DATUMARO, COCO, LABELME, SUPERVISELY, VIA, LABEL_STUDIO, CREATEML)
"""Formats whose annotations are JSON."""

DETECTORS: dict[str, Detector] = {
    "documents": lambda look: detect_documents(look, DOCUMENTS),
    "documents of elsewhere": elsewhere.detect_documents,
    "cvat": cvat.detect,
    "labelme on the web": labelme.detect_web,
    "via as a table": via.detect_table,
    "voc": voc.detect,
    "kitti": kitti.detect,
    "yolo": yolo.detect,
    "class lists": class_lists.detect,
    "huggingface": huggingface.detect,
    "webdataset": webdataset.detect,
    "tables": tables.detect,
    "elsewhere": elsewhere.detect,
    "pairs": pairs.detect,
}
"""The most particular first. Classes that are folders are what is left when none of them finds anything."""


def detect_format(look: Look) -> list[Finding]:
    """All that is there, in the order of the table.

    Raises:
        DataError: files cannot be listed.
    """
    found: list[Finding] = []
    for name, detect in DETECTORS.items():
        for finding in _told(name, detect, look):
            look.claimed |= finding.evidence
            look.taken |= finding.evidence if finding.sets else set[str]()
            found.append(finding)
    if not any(finding.fault or _teaches(finding) for finding in found):
        found = [*image_folder.detect(look), *found]
    return found


def _teaches(finding: Finding) -> bool:
    """Whether there is anything to learn: a table may say no more than splits or groups of images."""
    return any(section.get("targets") != {} for section in finding.sets.values())


def _told(name: str, detect: Detector, look: Look) -> list[Finding]:
    """A detector reads files that nobody has checked: whatever it raises is a finding with a fault, not the end."""
    try:
        return list(detect(look))
    except MtlError as error:
        return [Finding(name, fault=error.line)]
    except Exception as error:
        return [Finding(name, fault=f"it could not be looked at: {type(error).__name__}: {error}")]


def refusal(path: str, finding: Finding, why: str) -> DataError:
    """What is said where a format is there and cannot be read."""
    evidence = ", ".join(sorted(finding.evidence)[:3])
    return DataError(
        f"{path} looks like {finding.format}{f' ({evidence})' if evidence else ''}, and cannot be used as it is",
        found=why,
        fix="mend it, or describe it in data.source.sets yourself: docs/how-to/bring-your-data.md",
    )


def without(finding: Finding, names: Iterable[str]) -> Finding:
    """The finding without some of its sets."""
    gone = set(names)
    return replace(finding, sets={name: found for name, found in finding.sets.items() if name not in gone})
