"""A headless Chromium, driven over its own protocol: open a page, look into it, choose a file, take a picture."""

from __future__ import annotations

import base64
import json
import shutil
import subprocess
import time
import urllib.request
from pathlib import Path
from types import TracebackType
from typing import Any

import pytest
from websockets.sync.client import connect

from tests.conftest import free_port

NAMES = ("chromium", "chromium-browser", "google-chrome", "chrome")


class Browser:
    """One page in a browser of its own; the test is skipped where there is none."""

    def __init__(self, folder: Path) -> None:
        found = next((path for name in NAMES if (path := shutil.which(name))), None)
        if found is None:
            pytest.skip("there is no Chromium on this machine")
        self.port = free_port()
        words = [
            "--headless=new",
            "--no-sandbox",
            "--disable-gpu",
            "--disable-dev-shm-usage",
            "--window-size=1000,1100",
        ]
        words += [f"--remote-debugging-port={self.port}", f"--user-data-dir={folder / 'profile'}", "about:blank"]
        self.process = subprocess.Popen([found, *words], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        self._count = 0
        self._events: list[dict[str, Any]] = []

    def __enter__(self) -> Browser:
        deadline = time.monotonic() + 60
        while True:
            try:
                with urllib.request.urlopen(f"http://127.0.0.1:{self.port}/json", timeout=2) as answer:
                    page = next(p for p in json.load(answer) if p["type"] == "page")
                break
            except (OSError, StopIteration):
                assert time.monotonic() < deadline, "the browser does not answer"
                time.sleep(0.2)
        self._socket = connect(page["webSocketDebuggerUrl"], max_size=2**26)
        for domain in ("Page", "Runtime", "DOM", "Log"):
            self.ask(f"{domain}.enable")
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._socket.close()
        self.process.terminate()
        self.process.wait(30)

    def ask(self, method: str, **params: Any) -> dict[str, Any]:
        """One command of the protocol, and its answer."""
        self._count += 1
        self._socket.send(json.dumps({"id": self._count, "method": method, "params": params}))
        while True:
            message = json.loads(self._socket.recv(timeout=60))
            if message.get("id") == self._count:
                assert "error" not in message, message
                return message["result"]
            self._events.append(message)

    def open(self, url: str) -> None:
        self.ask("Page.navigate", url=url)
        self.wait_for("document.readyState === 'complete'")

    def evaluate(self, script: str) -> Any:
        return self.ask("Runtime.evaluate", expression=script, returnByValue=True)["result"].get("value")

    def wait_for(self, script: str, seconds: float = 60) -> None:
        deadline = time.monotonic() + seconds
        while not self.evaluate(script):
            assert time.monotonic() < deadline, f"{script}: {self.evaluate('document.body.innerText')}"
            time.sleep(0.1)

    def choose_file(self, selector: str, path: Path) -> None:
        root = self.ask("DOM.getDocument")["root"]["nodeId"]
        node = self.ask("DOM.querySelector", nodeId=root, selector=selector)["nodeId"]
        self.ask("DOM.setFileInputFiles", nodeId=node, files=[str(path)])

    def screenshot(self, path: Path) -> None:
        path.write_bytes(base64.b64decode(self.ask("Page.captureScreenshot")["data"]))

    def look(self, width: int = 1280, height: int = 900, *, dark: bool = False, script: bool = True) -> None:
        """As a screen of so many pixels, with its user's choice of colours; without scripts, if so wanted."""
        self.ask(
            "Emulation.setDeviceMetricsOverride",
            width=width,
            height=height,
            deviceScaleFactor=1,
            mobile=width < 600,
        )
        chosen = {"name": "prefers-color-scheme", "value": "dark" if dark else "light"}
        self.ask("Emulation.setEmulatedMedia", features=[chosen])
        self.ask("Emulation.setScriptExecutionDisabled", value=not script)

    def asked(self) -> set[str]:
        """Addresses that pages have asked for since the domain Network was enabled."""
        self.evaluate("1")
        sent = (e["params"] for e in self._events if e.get("method") == "Network.requestWillBeSent")
        return {event["request"]["url"] for event in sent}

    def problems(self) -> list[str]:
        """Exceptions of the page's scripts."""
        self.evaluate("1")
        return [json.dumps(e["params"])[:500] for e in self._events if e.get("method") == "Runtime.exceptionThrown"]
