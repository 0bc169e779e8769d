"""What older versions of this program wrote is read, and what does not fit is refused. Golden files are as they were written."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from mlflow import MlflowClient

from mtl.errors import RegistryError
from mtl.registry.chain import read_chain
from mtl.registry.ledger import Entry, Ledger
from mtl.registry.records.client import ReadingClient
from mtl.registry.trust import Trust

CHAIN = Path(__file__).with_name("chain.json")


def refuse(uri: str) -> MlflowClient:
    raise AssertionError(f"{uri} was asked")


@pytest.fixture(scope="module")
def chain() -> dict[str, object]:
    """Entries of a ledger, and what the program that wrote them said of them."""
    return json.loads(CHAIN.read_text())


def entries(chain: dict[str, object], *, unverified: bool = False) -> tuple[dict[str, Entry], Trust]:
    trust = Trust([str(chain["public_key"])], unverified=unverified)
    ledger = Ledger("none", ReadingClient("none", refuse), "model", trust)
    texts: dict[str, str] = chain["entries"]  # type: ignore[assignment]
    return {key: ledger._entry(key, text) for key, text in texts.items()}, trust


def test_a_signed_chain_is_read_as_it_was_written(chain: dict[str, object]) -> None:
    found, trust = entries(chain)
    read = read_chain("model", found, trust)
    shown = sorted([*read.changes, *read.doubtful], key=lambda change: change.number)
    assert [change.as_json() for change in shown] == chain["shown"]
    assert {"head": read.head, "heads": read.heads, "signed": read.signed, "unsigned": read.unsigned} == {
        key: chain[key] for key in ("head", "heads", "signed", "unsigned")
    }


def test_a_signed_entry_that_is_no_change_is_refused(chain: dict[str, object]) -> None:
    found, trust = entries(chain)
    entry = found["change/000005"]
    found["change/000005"] = Entry({**entry.value, "to": "3"}, entry.sha256, None, entry.text)
    with pytest.raises(
        RegistryError, match=r"change 5 of the champion is damaged: it is no Change\n  found: to: .*\n  fix: "
    ):
        read_chain("model", found, trust)
