"""The table of formats: what `data.source.sets.….format` can name."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from mtl.data.formats.base import Entry, Problem, Reading
from mtl.data.formats.box_table import read_box_table
from mtl.data.formats.class_lists import read_class_lists
from mtl.data.formats.coco import read_coco
from mtl.data.formats.createml import read_createml
from mtl.data.formats.cvat import read_cvat
from mtl.data.formats.datumaro import read_datumaro
from mtl.data.formats.huggingface import read_huggingface
from mtl.data.formats.image_folder import read_image_folder
from mtl.data.formats.kitti import read_kitti
from mtl.data.formats.label_studio import read_label_studio
from mtl.data.formats.labelme import read_labelme
from mtl.data.formats.pairs import read_depth_pairs, read_mask_pairs
from mtl.data.formats.panoptic import read_panoptic
from mtl.data.formats.supervisely import read_supervisely
from mtl.data.formats.table import read_table
from mtl.data.formats.via import read_via
from mtl.data.formats.voc import read_voc
from mtl.data.formats.webdataset import read_webdataset
from mtl.data.formats.yolo import read_yolo
from mtl.storage.file_tree import FileTree

__all__ = ["FORMATS", "Entry", "Problem", "Reading"]

FORMATS: dict[str, Callable[[Any, FileTree], Reading]] = {
    "image_folder": read_image_folder,
    "table": read_table,
    "box_table": read_box_table,
    "class_list": read_class_lists,
    "coco": read_coco,
    "coco_panoptic": read_panoptic,
    "yolo": read_yolo,
    "voc": read_voc,
    "kitti": read_kitti,
    "cvat": read_cvat,
    "labelme": read_labelme,
    "label_studio": read_label_studio,
    "supervisely": read_supervisely,
    "createml": read_createml,
    "via": read_via,
    "datumaro": read_datumaro,
    "mask_pairs": read_mask_pairs,
    "depth_pairs": read_depth_pairs,
    "huggingface": read_huggingface,
    "webdataset": read_webdataset,
}
