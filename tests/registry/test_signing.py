"""Packages are signed and verified: any change, any stranger's signature, is refused before anything is loaded."""

from __future__ import annotations

import os
import stat
from pathlib import Path

import pytest

from mtl.errors import RegistryError
from mtl.registry.signing import SIGNATURE, own_keys, package_sha256, sign, verify


def test_what_was_signed_is_accepted(package: Path, tmp_path: Path) -> None:
    private, public = own_keys(tmp_path / "keys")
    digest = package_sha256(package)
    assert verify(package, digest, None) == "content checked"
    sign(package, private, package / SIGNATURE)
    assert package_sha256(package) == digest
    assert verify(package, digest, public) == "content and signature checked"
    assert own_keys(tmp_path / "keys") == (private, public)
    assert stat.S_IMODE(private.stat().st_mode) == 0o600


@pytest.mark.parametrize("change", ["changed", "added", "removed", "renamed"])
@pytest.mark.parametrize("checked", ["digest", "signature"])
def test_every_change_is_refused(package: Path, tmp_path: Path, change: str, checked: str) -> None:
    private, public = own_keys(tmp_path / "keys")
    digest = package_sha256(package)
    sign(package, private, package / SIGNATURE)
    code = package / "code" / "model.py"
    if change == "changed":
        code.write_text("x = 2\n")
    elif change == "added":
        (package / "code" / "more.py").write_text("")
    elif change == "removed":
        code.unlink()
    else:
        code.rename(package / "code" / "other.py")
    with pytest.raises(RegistryError, match=r"not what was registered|signature is not by"):
        verify(package, digest, None) if checked == "digest" else verify(package, None, public)


def test_a_link_is_refused_for_its_end_is_not_signed(package: Path, tmp_path: Path) -> None:
    digest = package_sha256(package)
    (tmp_path / "evil").mkdir()
    (package / "code" / "evil").symlink_to(tmp_path / "evil", target_is_directory=True)
    with pytest.raises(RegistryError, match="no links"):
        verify(package, digest, None)


def test_a_strangers_signature_or_none_is_refused(package: Path, tmp_path: Path) -> None:
    _, public = own_keys(tmp_path / "keys")
    with pytest.raises(RegistryError, match="not signed"):
        verify(package, None, public)
    sign(package, own_keys(tmp_path / "stranger")[0], package / SIGNATURE)
    with pytest.raises(RegistryError, match="signature is not by"):
        verify(package, None, public)


def test_bytecode_that_a_loader_left_is_removed_not_run(package: Path, tmp_path: Path) -> None:
    private, public = own_keys(tmp_path / "keys")
    sign(package, private, package / SIGNATURE)
    cache = package / "code" / "__pycache__"
    cache.mkdir()
    (cache / "model.cpython-311.pyc").write_bytes(b"anything")
    verify(package, None, public)
    assert not cache.exists()


def test_a_key_that_is_none_is_named(package: Path, tmp_path: Path) -> None:
    wrong = tmp_path / "key.pem"
    wrong.write_text("no key")
    for key in (wrong, tmp_path / "absent.pem"):
        with pytest.raises(RegistryError, match="cannot be signed") as caught:
            sign(package, key, tmp_path / SIGNATURE)
        assert "MTL_SIGNING_KEY" in str(caught.value)


def test_two_at_once_make_one_key(tmp_path: Path) -> None:
    from concurrent.futures import ThreadPoolExecutor

    with ThreadPoolExecutor(8) as pool:
        pairs = set(pool.map(lambda _: own_keys(tmp_path / "keys"), range(8)))
    assert len(pairs) == 1
    private, public = pairs.pop()
    folder = tmp_path / "package"
    folder.mkdir()
    (folder / "x").write_bytes(os.urandom(10))
    sign(folder, private, folder / SIGNATURE)
    verify(folder, None, public)
