"""A proxy before a server that spoils connections: resets them, answers errors, or waits."""

from __future__ import annotations

import contextlib
import socket
import struct
import threading
import time
from types import TracebackType


class Toxic:
    """Listens on a port of its own.

    spoiled: how many connections were reset or answered with an error.
    """

    def __init__(self, upstream: str) -> None:
        host, port = upstream.removeprefix("http://").split(":")
        self.upstream = (host, int(port))
        self.resets = self.refusals = 0
        self.seconds = 0.0
        self.answer = "503 SlowDown"
        self.spoiled = 0
        self.open: list[socket.socket] = []
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.address = f"http://127.0.0.1:{self.listener.getsockname()[1]}"
        threading.Thread(target=self._listen, daemon=True).start()

    def spoil(self, resets: int = 0, refusals: int = 0, seconds: float = 0.0, answer: str = "503 SlowDown") -> None:
        """Of the next connections, reset some, answer some with an error, let each wait. Those that are open are closed.

        Args:
            answer: status and S3's name of the error.
        """
        self.answer = answer
        self.resets, self.refusals, self.seconds = resets, refusals, seconds
        for client in self.open:
            with contextlib.suppress(OSError):
                client.shutdown(socket.SHUT_RDWR)
        self.open = []

    def __enter__(self) -> Toxic:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.listener.close()

    def _listen(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                client, _ = self.listener.accept()
                threading.Thread(target=self._serve, args=(client,), daemon=True).start()

    def _serve(self, client: socket.socket) -> None:
        time.sleep(self.seconds)
        if self.resets:
            self.resets, self.spoiled = self.resets - 1, self.spoiled + 1
            client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))  # RST, not FIN
            client.close()
            return
        if self.refusals:
            self.refusals, self.spoiled = self.refusals - 1, self.spoiled + 1
            client.recv(65536)
            status, code = self.answer.split()
            body = f"<Error><Code>{code}</Code><Message>no</Message></Error>".encode()
            head = f"HTTP/1.1 {status} {code}\r\nContent-Length: {len(body)}\r\nConnection: close\r\n\r\n"
            client.sendall(head.encode() + body)
            client.close()
            return
        self.open.append(client)
        server = socket.create_connection(self.upstream)
        one = threading.Thread(target=_pump, args=(client, server), daemon=True)
        one.start()
        _pump(server, client)
        one.join()


def _pump(source: socket.socket, sink: socket.socket) -> None:
    with contextlib.suppress(OSError):
        while data := source.recv(65536):
            sink.sendall(data)
    with contextlib.suppress(OSError):
        sink.shutdown(socket.SHUT_WR)
