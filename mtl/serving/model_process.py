"""A model in a process of its own: what breaks in it breaks it alone, and it is started again.

Through the pipe go an image's bytes in one direction and JSON in the other; nothing is unpickled.
"""

from __future__ import annotations

import contextlib
import multiprocessing
import signal
from collections.abc import Sequence
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import orjson

from mtl.errors import MtlError, StageError

Answer = dict[str, Any]
"""`row`, or `error`: why there is none."""


class Broken(Exception):
    """The process ended while it was asked."""


class ModelProcess:
    """One process with one model; asked by one thread at a time."""

    def __init__(self, bundle: Path, threads: int) -> None:
        self._arguments = (str(bundle), threads)
        self._process: Any = None
        self._pipe: Any = None

    def start(self) -> dict[str, Any]:
        """Load the model and let it answer once; what its tasks are.

        Raises:
            StageError: it cannot be loaded, or does not answer.
        """
        self.stop()
        context = multiprocessing.get_context("spawn")
        self._pipe, theirs = context.Pipe()
        self._process = context.Process(target=_work, args=(theirs, *self._arguments), daemon=True)
        self._process.start()
        theirs.close()
        try:
            found: dict[str, Any] = self._receive()
        except Broken:
            self._process.join()
            found = {"error": f"its process ended with exit code {self._process.exitcode}"}
        if "error" in found:
            raise StageError("the model cannot be loaded", found=found["error"], fix="see the lines above")
        return found["tasks"]

    def ask(self, images: Sequence[bytes]) -> list[Answer]:
        """One answer for each encoded image.

        Raises:
            Broken: it ended.
        """
        try:
            self._pipe.send_bytes(str(len(images)).encode())
            for image in images:
                self._pipe.send_bytes(image)
        except OSError as error:
            raise Broken from error
        return self._receive()

    def _receive(self) -> Any:
        try:
            return orjson.loads(self._pipe.recv_bytes())
        except (EOFError, OSError) as error:
            raise Broken from error

    def stop(self) -> None:
        """End it at once."""
        if self._process is not None:
            self._process.kill()
            self._process.join()
            self._pipe.close()


def _work(pipe: Connection, bundle: str, threads: int) -> None:
    """In the process: answer until the other end of the pipe is closed, by whatever ended who has it."""
    for number in (signal.SIGINT, signal.SIGTERM):  # sent to all at once, perhaps: what was asked is answered
        signal.signal(number, signal.SIG_IGN)
    try:
        import torch

        from mtl.package.predictor import Predictor

        torch.set_num_threads(threads)
        predictor = Predictor(Path(bundle))
        predictor.answers([_blank()])  # what is slow at the first time is so before anybody waits
        pipe.send_bytes(orjson.dumps({"tasks": _described(predictor)}))
    except Exception as error:
        said = error.line if isinstance(error, MtlError) else f"{type(error).__name__}: {error}"[:500]
        pipe.send_bytes(orjson.dumps({"error": said}))
        return
    with contextlib.suppress(EOFError, OSError):
        while True:
            images = [pipe.recv_bytes() for _ in range(int(pipe.recv_bytes()))]
            found = predictor.answers(images)
            answers = [{"error": one.line} if isinstance(one, MtlError) else {"row": one} for one in found]
            pipe.send_bytes(orjson.dumps(answers))


def _blank() -> bytes:
    """An image; one that this model does not take is as good."""
    import cv2
    import numpy as np

    return cv2.imencode(".png", np.zeros((64, 64, 3), np.uint8))[1].tobytes()


def _described(predictor: Any) -> dict[str, Any]:
    """What the page must know of the tasks."""
    from mtl.tasks.answers import answer_of

    return {
        name: {
            "type": task.config.type,
            "serves": answer_of(task).page,
            "classes": list(task.target.classes),
            "unit": task.target.unit,
            "auxiliary": task.config.auxiliary,
            **answer_of(task).facts(task),
        }
        for name, task in predictor.tasks.items()
    }
