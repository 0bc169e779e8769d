"""What an editor knows of params.yaml: the schema is that of the settings, and files name it."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest
from jsonschema import Draft202012Validator

from mtl.config import read_params
from mtl.registry.fingerprint import fingerprint
from tests.conftest import ROOT

SCHEMA = ROOT / "docs" / "params.schema.json"
FILES = [ROOT / "params.yaml", *sorted((ROOT / "docs" / "examples").glob("*.yaml"))]


def faults(path: Path) -> list[str]:
    """What an editor would underline."""
    validator = Draft202012Validator(json.loads(SCHEMA.read_text(encoding="utf-8")))
    return [error.message for error in validator.iter_errors(read_params(path))]


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.name)
def test_a_params_file_names_its_schema(path: Path) -> None:
    first = path.read_text(encoding="utf-8").splitlines()[0]
    (named,) = re.findall(r"^# yaml-language-server: \$schema=(\S+)$", first)
    assert (path.parent / named).resolve() == SCHEMA


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.name)
def test_params_files_are_valid_by_the_schema(path: Path) -> None:
    assert faults(path) == []


@pytest.mark.parametrize(
    "wrong",
    ["train:\n  epochs: none\n", "train:\n  epoch: 3\n", "tasks:\n  digit: {type: clasification}\n", "trian: {}\n"],
)
def test_what_is_wrong_is_wrong_by_the_schema_too(wrong: str, tmp_path: Path) -> None:
    (tmp_path / "params.yaml").write_text(wrong)
    assert faults(tmp_path / "params.yaml")


def test_every_key_of_the_schema_says_what_it_means() -> None:
    """Of a section the description may be its docstring's, and a choice says what there is to choose."""
    sections = json.loads(SCHEMA.read_text(encoding="utf-8"))["$defs"]
    silent = {
        f"{name}.{key}"
        for name, section in sections.items()
        for key, found in section.get("properties", {}).items()
        if not found.keys() & {"description", "$ref", "const", "enum", "oneOf", "anyOf"}
    }
    assert len(sections) > 80
    assert silent == set()


def test_a_proposal_leaves_the_first_line_and_names_its_model(tmp_path: Path) -> None:
    from mtl.data.onboard.proposal import Proposal, write_sections

    path = tmp_path / "params.yaml"
    path.write_bytes((ROOT / "params.yaml").read_bytes())
    source = {"type": "files", "sets": {"photos": {"path": "data/photos", "format": "image_folder"}}}
    proposal = Proposal("image_folder", source, {"label": {"type": "classification"}}, 64, 0.0)
    assert write_sections(path, proposal, "photos")  # other tasks than before
    assert not write_sections(path, proposal)
    assert read_params(path)["registry"]["model"] == "photos"
    assert path.read_text(encoding="utf-8").splitlines()[0] == FILES[0].read_text(encoding="utf-8").splitlines()[0]
    assert faults(path) == []


def test_the_first_line_changes_no_fingerprint(tmp_path: Path) -> None:
    text = (ROOT / "params.yaml").read_text(encoding="utf-8")
    (tmp_path / "params.yaml").write_text(text.split("\n", 1)[1], encoding="utf-8")
    assert fingerprint(ROOT, read_params(tmp_path / "params.yaml")) == fingerprint(
        ROOT, read_params(ROOT / "params.yaml")
    )
