"""What a request may ask, and the answer to one that asks for more."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Limits:
    """Of one request; and of all that one process holds at a time, of which a caller may have a share."""

    body_bytes: int = 32 * 2**20
    image_bytes: int = 16 * 2**20
    pixels: int = 25_000_000
    images: int = 64
    request_pixels: int = 100_000_000
    header_seconds: float = 10.0
    body_seconds: float = 30.0
    answer_seconds: float = 120.0
    held_bytes: int = 512 * 2**20
    held_pixels: int = 800_000_000
    held_requests: int = 4096
    share: float = 0.25


class Refused(Exception):
    """A request that cannot be answered, and why."""

    def __init__(self, status: int, what: str, *, found: str = "", fix: str = "") -> None:
        self.status, self.body = status, {"error": {"what": what, "found": found, "fix": fix}}
        super().__init__(what)


FIX = (
    "send an encoded image (PNG, JPEG …) as the body (curl --data-binary @image.png …/predict), or "
    '{"images": ["<base64>", …]} as application/json (curl --json)'
)
