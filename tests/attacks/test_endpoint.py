"""What a caller of the endpoint tries: to keep it busy, or to reach it from a web page that is not its own."""

from __future__ import annotations

import asyncio
import contextlib
import json
import signal
import socket
import statistics
import sys
import threading
import time
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path

import httpx
import psutil
import pytest

from mtl.serving.admission import Admission, allowed_hosts, refuse_stranger
from mtl.serving.limits import Limits, Refused
from mtl.serving.requests import images_of, read_body
from tests.attacks.test_images import IMAGES
from tests.conftest import ROOT, clean_environment, free_port
from tests.data.small_sets import encoded
from tests.flows.watch import Watched

CALLER = "endpoint caller"


@pytest.mark.attack(boundary=CALLER, attack="images of more parts than any image")
@pytest.mark.parametrize("name", ["a JPEG of EXIF segments", "a PNG of packed colour profiles"])
def test_images_of_many_parts(name: str) -> None:
    with pytest.raises(Refused, match="more parts than any image"):
        images_of("image/png", IMAGES[name](), Limits())


@pytest.mark.attack(boundary=CALLER, attack="many large images in one request")
def test_pixels_of_a_request() -> None:
    with pytest.raises(Refused, match="too large"):
        images_of("image/png", encoded(1, (3000, 3000)), Limits(pixels=8_000_000))
    import base64

    body = json.dumps({"images": [base64.b64encode(encoded(1, (300, 300))).decode()] * 12}).encode()
    with pytest.raises(Refused, match="too large together"):
        images_of("application/json", body, Limits(request_pixels=1_000_000))


@pytest.mark.attack(boundary=CALLER, attack="a body that comes too slowly")
def test_a_slow_body() -> None:
    async def endless() -> AsyncIterator[bytes]:
        while True:
            await asyncio.sleep(0.01)
            yield b"x"

    began = time.monotonic()
    with pytest.raises(Refused) as found:
        asyncio.run(read_body(endless(), None, Limits(body_seconds=0.3)))
    assert found.value.status == 408
    assert time.monotonic() - began < 2


@pytest.mark.attack(boundary=CALLER, attack="one caller who takes all")
def test_a_share_is_left_to_others() -> None:
    admission = Admission("bytes", 1000, Limits())
    with admission.held("one") as first, admission.held("one") as second:
        first.more(200)
        with pytest.raises(Refused) as found:
            second.more(100)
        assert found.value.status == 503
        with admission.held("other") as third:
            third.more(100)
    with admission.held("one") as first:
        first.more(250)


@pytest.mark.attack(boundary="web page", attack="a page whose name leads to the endpoint, or that calls it")
def test_hosts_and_origins() -> None:
    allowed = allowed_hosts("127.0.0.1", "models.example.org")
    for headers in (
        {"host": "127.0.0.1:8000"},
        {"host": "localhost:8000", "origin": "http://localhost:8000"},
        {"host": "[::1]:8000"},
        {"host": "models.example.org"},
    ):
        refuse_stranger(headers.items(), allowed)
    for headers in (
        {},
        {"host": "evil.example"},
        {"host": "localhost.evil.example"},
        {"host": "evil.example:127.0.0.1"},
        {"host": "localhost", "origin": "https://evil.example"},
        {"host": "localhost", "origin": "null"},
        {"host": "[::1"},
    ):
        with pytest.raises(Refused):
            refuse_stranger(headers.items(), allowed)


# --- a running one, under load


@pytest.fixture(scope="module")
def endpoint(bundle: Path) -> Iterator[tuple[str, int]]:
    port = free_port()
    job = {"bundle": str(bundle), "version": "7", "host": "127.0.0.1", "port": port, "replicas": 1}
    watched = Watched([sys.executable, "-m", "mtl.entrypoints.endpoint", json.dumps(job)], ROOT, clean_environment())
    watched.until("model    http", 180)
    yield "127.0.0.1", port
    family = psutil.Process(watched.process.pid).children(recursive=True)
    watched.process.send_signal(signal.SIGTERM)
    watched.process.wait(60)
    psutil.wait_procs(family, timeout=30)


@contextlib.contextmanager
def connections(address: tuple[str, int], number: int, first: bytes) -> Iterator[list[socket.socket]]:
    """Open ones, from another address than the honest callers', which have sent so much."""
    found: list[socket.socket] = []
    try:
        for _ in range(number):
            found.append(socket.create_connection(address, 10, source_address=("127.0.0.2", 0)))
            found[-1].sendall(first)
        yield found
    finally:
        for one in found:
            one.close()


def head(length: int, kind: str = "image/png") -> bytes:
    return f"POST /predict HTTP/1.1\r\nhost: localhost\r\ncontent-type: {kind}\r\ncontent-length: {length}\r\n\r\n".encode()


def honest(address: tuple[str, int], number: int) -> list[float]:
    """Seconds of each request, health and predictions by turns."""
    seconds: list[float] = []
    url, image = f"http://{address[0]}:{address[1]}", encoded(5, (64, 64))
    with httpx.Client(timeout=60) as client:
        for turn in range(number):
            began = time.monotonic()
            answer = (
                client.get(f"{url}/health")
                if turn % 2
                else client.post(f"{url}/predict", content=image, headers={"content-type": "image/png"})
            )
            seconds.append(time.monotonic() - began)
            assert answer.status_code == 200, answer.text
    return seconds


@pytest.mark.slow
@pytest.mark.attack(boundary=CALLER, attack="560 slow bodies")
def test_slow_bodies(endpoint: tuple[str, int]) -> None:
    honest(endpoint, 4)
    with connections(endpoint, 560, head(1000) + b"x") as slow:
        assert max(honest(endpoint, 20)) < 5
        slow[0].settimeout(60)
        assert b" 408 " in slow[0].recv(100)


@pytest.mark.slow
@pytest.mark.attack(boundary=CALLER, attack="headers that never end")
def test_slow_headers(endpoint: tuple[str, int]) -> None:
    with connections(endpoint, 100, b"POST /predict HTTP/1.1\r\nhost: loc") as slow:
        assert max(honest(endpoint, 10)) < 5
        slow[-1].settimeout(3 * Limits().header_seconds)
        with contextlib.suppress(ConnectionResetError):
            assert slow[-1].recv(100) == b""


@pytest.mark.slow
@pytest.mark.attack(boundary=CALLER, attack="ten callers with the worst images, while others call")
def test_ten_dishonest_callers(endpoint: tuple[str, int], record_property: Callable[[str, object], None]) -> None:
    alone = honest(endpoint, 40)
    bad = [IMAGES[name]() for name in ("a JPEG of EXIF segments", "a PNG of empty chunks", "a TIFF of strips")]
    bad += [encoded(1, (4900, 5000)), b'{"images": [' + b'"aaaa",' * 4_000_000]
    ended = threading.Event()

    def attack(number: int) -> None:
        body = bad[number % len(bad)]
        kind = "application/json" if body[:1] == b"{" else "image/png"
        while not ended.is_set():
            with contextlib.suppress(OSError), connections(endpoint, 1, head(len(body), kind)) as (one,):
                one.settimeout(20)
                one.sendall(body)
                one.recv(1000)

    threads = [threading.Thread(target=attack, args=(number,), daemon=True) for number in range(10)]
    for thread in threads:
        thread.start()
    try:
        attacked = honest(endpoint, 40)
    finally:
        ended.set()
        for thread in threads:
            thread.join(30)
    p99 = statistics.quantiles(attacked, n=100)[98]
    record_property("seconds", {"alone": statistics.quantiles(alone, n=100)[98], "attacked": p99})
    print(
        f"p99 alone {statistics.quantiles(alone, n=100)[98]:.3f} s, median attacked {statistics.median(attacked):.3f} s, p99 {p99:.3f} s"
    )
    assert p99 < 20  # a small machine; one such image took 141 s
