"""A version behind the endpoint: processes with its model, which take images from one queue, as many at a time as have come."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from mtl.errors import MtlError
from mtl.serving.limits import Refused
from mtl.serving.model_process import Answer, Broken, ModelProcess

MAX_BATCH = 32
"""Images that are predicted together, at most."""
Asked = tuple[bytes, "asyncio.Future[Answer]"]


class Model:
    """One version, loaded. For one event loop.

    Args:
        replicas: processes with a model each.
        threads: of each.
    """

    def __init__(self, version: int, bundle: Path, replicas: int, threads: int) -> None:
        self.version, self.tasks = version, dict[str, object]()
        self.scratch: TemporaryDirectory[str] | None = None
        """Removed with it."""
        self._processes = [ModelProcess(bundle, threads) for _ in range(replicas)]
        self._threads = ThreadPoolExecutor(replicas)  # they wait for the processes
        self._queue = asyncio.Queue[Asked]()
        self._workers: list[asyncio.Task[None]] = []
        self._open = 0

    async def start(self) -> None:
        """Load it.

        Raises:
            StageError: it cannot be loaded, or does not answer.
        """
        try:
            self.tasks = (await asyncio.gather(*(self._in_thread(one.start) for one in self._processes)))[0]
        except BaseException:
            self.stop()
            raise
        self._workers = [asyncio.create_task(self._work(one)) for one in self._processes]

    async def predict(self, images: Sequence[bytes]) -> list[Answer]:
        """One answer for each encoded image.

        Raises:
            Refused: the model ended when it looked at one of them, twice.
        """
        loop = asyncio.get_running_loop()
        asked: list[Asked] = [(image, loop.create_future()) for image in images]
        self._open += 1
        try:
            for one in asked:
                self._queue.put_nowait(one)
            return await asyncio.gather(*(answer for _, answer in asked))
        finally:
            self._open -= 1

    async def drain(self, seconds: float) -> None:
        """Wait until all that was asked is answered, so long at most; then end its processes."""
        deadline = time.monotonic() + seconds
        try:
            while self._open and time.monotonic() < deadline:
                await asyncio.sleep(0.02)
        finally:
            self.stop()

    def stop(self) -> None:
        """End its processes at once."""
        for worker in self._workers:
            worker.cancel()
        for process in self._processes:
            process.stop()
        self._threads.shutdown(wait=False)
        if self.scratch is not None:
            self.scratch.cleanup()

    async def _work(self, process: ModelProcess) -> None:
        """Let one process answer what comes."""
        while True:
            batch = [await self._queue.get()]
            while len(batch) < MAX_BATCH and not self._queue.empty():
                batch.append(self._queue.get_nowait())
            batch = [one for one in batch if not one[1].done()]  # nobody waits for the others any more
            try:
                await self._answer(process, batch)
            except Broken:
                for one in batch:  # by itself: one image may be what it breaks on, and the others are to have theirs
                    await self._answer_alone(process, one)

    async def _answer(self, process: ModelProcess, batch: list[Asked]) -> None:
        answers = await self._in_thread(process.ask, [image for image, _ in batch]) if batch else []
        for (_, future), answer in zip(batch, answers, strict=True):
            if not future.done():
                future.set_result(answer)

    async def _answer_alone(self, process: ModelProcess, one: Asked) -> None:
        try:
            try:
                await self._answer(process, [one])
            except Broken:
                await self._in_thread(process.start)
                await self._answer(process, [one])
        except (Broken, MtlError):
            if not one[1].done():
                one[1].set_exception(Refused(500, "the model ended when it looked at an image", fix="leave it out"))

    async def _in_thread(self, call: Any, *arguments: Any) -> Any:
        return await asyncio.get_running_loop().run_in_executor(self._threads, call, *arguments)
