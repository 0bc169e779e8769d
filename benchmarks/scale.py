"""What ten million images cost before the first of them is trained on: to look for changes and to index.

    python -m benchmarks.scale [--images 10000000] [--files 100000] [--only look fetch bucket listing]

Each measurement is a process of its own: seconds of processor time and peak memory by image. The files of `look` and `fetch` are
real (a few bytes each); for what has no disk for ten million, listings are generated: `bucket` asks a server on loopback that makes
up the pages of an S3 bucket. Writes benchmarks/results/scale.json; benchmarks/simulate.py goes on from such a bucket, without its server.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import os
import resource
import tempfile
import threading
import time
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

FOLDER = 1000
"""Files in a folder."""
OLD = 1_700_000_000
"""Seconds: when they were written."""


def make_files(folder: Path, number: int) -> None:
    """Files of a few bytes, no two alike, a thousand in a folder, ten classes."""
    for first in range(0, number, FOLDER):
        inside = folder / f"class{first // FOLDER % 10}" / f"{first // FOLDER:06d}"
        inside.mkdir(parents=True)
        for index in range(first, min(first + FOLDER, number)):
            path = inside / f"photo_{index:09d}.jpg"
            path.write_bytes(b"%d" % index)
            os.utime(path, (OLD, OLD))


class Bucket(BaseHTTPRequestHandler):
    """ListObjectsV2 of a bucket that has `images` objects: each name says its number."""

    protocol_version = "HTTP/1.1"
    images = 0

    def do_GET(self) -> None:
        """One page."""
        asked = {key: values[0] for key, values in parse_qs(urlsplit(self.path).query).items()}
        after = asked.get("continuation-token") or asked.get("start-after", "")
        first = int(after[-13:-4]) + 1 if after else 0
        last = min(first + 1000, self.images)
        body = (
            '<?xml version="1.0" encoding="UTF-8"?><ListBucketResult xmlns="http://s3.amazonaws.com/doc/2006-03-01/">'
            f"<Name>b</Name><IsTruncated>{'true' if last < self.images else 'false'}</IsTruncated>"
            + (f"<NextContinuationToken>{_key(last - 1)}</NextContinuationToken>" if last < self.images else "")
            + "".join(map(_object, () if "delimiter" in asked else range(first, last)))
            + "</ListBucketResult>"
        ).encode()
        self.send_response(200)
        self.send_header("Content-Type", "application/xml")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:
        """Nothing."""


def _key(index: int) -> str:
    return f"photos/{index // FOLDER:07d}/{index:09d}.jpg"


def _object(index: int) -> str:
    return (
        f"<Contents><Key>{_key(index)}</Key><LastModified>2026-01-01T00:00:00.000Z</LastModified>"
        f"<ETag>&quot;{index:032x}&quot;</ETag><Size>150000</Size><StorageClass>STANDARD</StorageClass></Contents>"
    )


def _source(path: str) -> Any:
    from mtl.config.files import FilesSource

    sets = {"own": {"format": "image_folder", "path": path}}
    return FilesSource.model_validate({"type": "files", "sets": sets, "split": {"type": "random"}})


def look(path: str, home: Path) -> None:
    """One look for changes in a set outside `data/`."""
    from mtl.data.raw.listings import sync_listings

    sync_listings(_source(path), home / "checkout", home)


def fetch(path: str, home: Path) -> None:
    """The index of a set."""
    from mtl.data.sources.files import fetch_files

    fetch_files(_source(path), 0, home / "raw", home / "downloads")


def listing(number: int) -> None:
    """What a look makes of a listing that comes from nowhere: names in sixteen ranges, as a bucket's."""
    from mtl.data.raw.listings import _part  # pyright: ignore[reportPrivateUsage]
    from mtl.storage.walk import joined, piece

    step = -(-number // 16)
    ranges = (range(first, min(first + step, number)) for first in range(0, number, step))
    pieces = (piece(((_key(i), f"150000:{i:032x}") for i in one), _part) for one in ranges)
    assert sum(part.number for part in joined(pieces, _part)) == number


def _measured(work: Callable[..., None], given: tuple[Any, ...], answer: Any) -> None:
    import numpy as np  # what every stage has loaded before it begins  # noqa: F401
    import s3fs  # noqa: F401

    from mtl.data.sources import files  # noqa: F401

    before = resource.getrusage(resource.RUSAGE_SELF)
    began = time.monotonic()
    work(*given)
    after = resource.getrusage(resource.RUSAGE_SELF)
    cpu = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    answer.send((time.monotonic() - began, cpu, 1024 * (after.ru_maxrss - before.ru_maxrss)))


def measured(name: str, number: int, work: Callable[..., None], *given: Any) -> dict[str, float]:
    """A row: what a process of its own took."""
    context = multiprocessing.get_context("spawn")
    answer, answered = context.Pipe(duplex=False)
    process = context.Process(target=_measured, args=(work, given, answered))
    process.start()
    answered.close()
    wall, cpu, memory = answer.recv()
    process.join()
    row = {"images": number, "wall_s": round(wall, 1), "cpu_us": round(cpu / number * 1e6, 2)}
    row |= {"peak_mb": round(memory / 1e6), "bytes": round(memory / number, 1)}
    print(
        f"{name:<24} {number:>11,} images {wall:8.1f} s {row['cpu_us']:7.2f} µs CPU {row['peak_mb']:>6} MB", flush=True
    )
    return row


def main() -> None:
    """Measure, print, keep."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--images", type=int, default=10**7)
    parser.add_argument("--files", type=int, default=10**5)
    parser.add_argument("--only", nargs="+", default=["look", "fetch", "bucket", "listing"])
    options = parser.parse_args()
    rows: dict[str, Any] = {}
    with tempfile.TemporaryDirectory() as scratch:
        folder, home = Path(scratch, "files"), Path(scratch, "home")
        if {"look", "fetch"} & {*options.only}:
            make_files(folder, options.files)
        if "look" in options.only:
            rows["folder, first look"] = measured("folder, first look", options.files, look, str(folder), home)
            rows["folder, nothing new"] = measured("folder, nothing new", options.files, look, str(folder), home)
        if "fetch" in options.only:
            rows["index of a folder"] = measured("index of a folder", options.files, fetch, str(folder), home)
        if "bucket" in options.only:
            Bucket.images = options.images
            server = ThreadingHTTPServer(("127.0.0.1", 0), Bucket)
            threading.Thread(target=server.serve_forever, daemon=True).start()
            os.environ |= {
                "AWS_ENDPOINT_URL": f"http://127.0.0.1:{server.server_port}",
                "AWS_ACCESS_KEY_ID": "none",
                "AWS_SECRET_ACCESS_KEY": "none",
                "AWS_DEFAULT_REGION": "none",
            }
            for name in ("bucket, first look", "bucket, nothing new"):
                rows[name] = measured(name, options.images, look, "s3://b/photos", home)
            rows["bucket, nothing new"]["listing_mb"] = round(
                (home / "checkout/data/.remote/own.json").stat().st_size / 1e6, 2
            )
            server.shutdown()
        if "listing" in options.only:
            rows["listing, generated"] = measured("listing, generated", options.images, listing, options.images)
    path = Path(__file__).parent / "results" / "scale.json"
    before = json.loads(path.read_text())["rows"] if path.exists() else {}
    document = {"machine": {"cores": os.cpu_count()}, "rows": before | rows}
    path.write_text(json.dumps(document, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
