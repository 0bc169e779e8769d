"""Requests that a server must survive: damaged, hostile, and good ones among them.

python -m tests.serving.fuzz ADDRESS PROCESS IMAGES [--requests 10000]    against a running endpoint; PROCESS is its id
"""

from __future__ import annotations

import argparse
import base64
import collections
import json
import random
import struct
import sys
import time
import zlib
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
import psutil

KINDS = (
    "application/json",
    "image/png",
    "image/jpeg",
    "application/octet-stream",
    "",
    "text/html",
    "multipart/form-data",
    "\x7f",
)


@dataclass
class Request:
    """One request, and whether it must be answered with 200."""

    method: str
    path: str
    content: bytes
    kind: str
    good: bool = False


@dataclass
class Outcome:
    """What came back."""

    statuses: collections.Counter[int] = field(default_factory=collections.Counter[int])
    wrong: list[str] = field(default_factory=list[str])


def requests(images: list[bytes], count: int, seed: int) -> Iterator[Request]:
    """A reproducible mix."""
    chance = random.Random(seed)
    makers = [_good, _good_json, _noise, _damaged, _json, _shapes, _bomb, _elsewhere]
    for _ in range(count):
        yield chance.choice(makers)(chance, images)


def run(address: str, count: int, seed: int, images: list[bytes], workers: int = 4) -> Outcome:
    """Send them; every answer that a server must not give is kept in `wrong`."""
    outcome = Outcome()

    def send(client: httpx.Client, request: Request) -> None:
        headers: dict[bytes, bytes] = {b"content-type": request.kind.encode("latin-1")} if request.kind else {}
        answer = client.request(request.method, address + request.path, content=request.content, headers=headers)
        outcome.statuses[answer.status_code] += 1
        refused = 400 <= answer.status_code < 500
        explained = request.path != "/predict" or request.method != "POST" or not refused or _explains(answer)
        if answer.status_code >= 500 or (request.good and answer.status_code != 200) or not explained:
            outcome.wrong.append(
                f"{request.method} {request.path} {request.kind} {request.content[:60]!r}: {answer.status_code} {answer.text[:200]}"
            )

    with httpx.Client(timeout=60) as client, ThreadPoolExecutor(workers) as pool:
        for done in [pool.submit(send, client, request) for request in requests(images, count, seed)]:
            done.result()
    return outcome


def _explains(answer: httpx.Response) -> bool:
    if answer.text == "Invalid HTTP request received.":  # the HTTP layer's own: a header that is none
        return True
    try:
        return set(answer.json()["error"]) == {"what", "found", "fix"}
    except (ValueError, KeyError, TypeError):
        return False


def _good(chance: random.Random, images: list[bytes]) -> Request:
    return Request(
        "POST", "/predict", chance.choice(images), chance.choice(("image/png", "application/octet-stream", "")), True
    )


def _good_json(chance: random.Random, images: list[bytes]) -> Request:
    chosen = [base64.b64encode(chance.choice(images)).decode() for _ in range(chance.randint(1, 3))]
    return Request("POST", "/predict", json.dumps({"images": chosen}).encode(), "application/json; charset=utf-8", True)


def _noise(chance: random.Random, images: list[bytes]) -> Request:
    return Request("POST", "/predict", chance.randbytes(chance.randint(0, 4000)), chance.choice(KINDS))


def _damaged(chance: random.Random, images: list[bytes]) -> Request:
    """A real image, cut off or with some bytes changed."""
    data = bytearray(chance.choice(images))
    for _ in range(chance.randint(1, 8)):
        data[chance.randrange(len(data))] = chance.randrange(256)
    cut = chance.randrange(len(data)) if chance.random() < 0.5 else len(data)
    return Request("POST", "/predict", bytes(data[:cut]), "image/png")


def _json(chance: random.Random, images: list[bytes]) -> Request:
    """JSON of any shape, valid or not."""
    text = json.dumps(_value(chance, 4))
    if chance.random() < 0.3:
        text = text[: chance.randrange(len(text) + 1)]
    if chance.random() < 0.05:
        text = "[" * 100_000
    return Request("POST", "/predict", text.encode("utf-8", "surrogatepass"), "application/json")


def _shapes(chance: random.Random, images: list[bytes]) -> Request:
    """The right key with wrong things in it."""
    things: list[Any] = [None, 1, "", "é", "====", {}, [], base64.b64encode(chance.randbytes(30)).decode(), "A" * 1000]
    found: dict[str, Any] = {"images": [chance.choice(things) for _ in range(chance.choice((0, 1, 2, 70, 500)))]}
    if chance.random() < 0.3:
        found[chance.choice(("image", "path", "__class__"))] = "/etc/passwd"
    return Request("POST", "/predict", json.dumps(found).encode(), "application/json")


def _bomb(chance: random.Random, images: list[bytes]) -> Request:
    """A PNG that claims to be huge."""
    size = chance.choice((30_000, 2**31 - 1, 6000))

    def part(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    header = part(b"IHDR", struct.pack(">IIBBBBB", size, size, 8, 2, 0, 0, 0))
    data = b"\x89PNG\r\n\x1a\n" + header + part(b"IDAT", zlib.compress(bytes(1000))) + part(b"IEND", b"")
    return Request("POST", "/predict", data, "image/png")


def _elsewhere(chance: random.Random, images: list[bytes]) -> Request:
    path = chance.choice(("/", "/model", "/health", "/predict", "/../etc/passwd", "/predict/x", "/%00", "/-/routes"))
    method = chance.choice(("GET", "PUT", "DELETE", "HEAD", "OPTIONS", "POST"))
    return Request(method, path, b"" if method == "GET" else chance.randbytes(20), "text/plain")


def _value(chance: random.Random, depth: int) -> Any:
    kind = chance.randrange(7 if depth else 5)
    if kind < 5:
        return (
            None,
            chance.random() * 1e300,
            chance.getrandbits(70),
            chance.choice(("", "images", "\ud800", "x" * 300)),
            True,
        )[kind]
    if kind == 5:
        return [_value(chance, depth - 1) for _ in range(chance.randint(0, 4))]
    return {chance.choice(("images", "a", "")): _value(chance, depth - 1) for _ in range(chance.randint(0, 3))}


def main() -> int:
    """Many requests, and the memory of the endpoint's processes before and after; 1 if an answer was wrong."""
    parser = argparse.ArgumentParser()
    parser.add_argument("address")
    parser.add_argument("process", type=int)
    parser.add_argument("images", type=Path)
    parser.add_argument("--requests", type=int, default=10_000)
    given = parser.parse_args()
    images = [path.read_bytes() for path in sorted(given.images.rglob("*.png"))[:50]]
    run(given.address, 1500, 2, images)  # buffers and caches have their size
    before, began = memory(given.process), time.monotonic()
    outcome = run(given.address, given.requests, 3, images)
    seconds = time.monotonic() - began
    after = memory(given.process)
    found = {
        "requests": given.requests,
        "seconds": round(seconds, 1),
        "statuses": dict(sorted(outcome.statuses.items())),
    }
    found |= {"wrong": len(outcome.wrong), "mib_before": round(before), "mib_after": round(after)}
    print(json.dumps(found, indent=1))
    print("\n".join(outcome.wrong[:20]), file=sys.stderr)
    return int(bool(outcome.wrong) or after > before * 1.05 + 20)


def memory(process: int) -> float:
    """MiB that a process and all that it started have for themselves."""
    family = [psutil.Process(process), *psutil.Process(process).children(recursive=True)]
    return sum(member.memory_full_info().uss for member in family) / 2**20


if __name__ == "__main__":
    sys.exit(main())
