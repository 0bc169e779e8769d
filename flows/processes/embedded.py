"""The Prefect server that a command embeds for its flow, where the environment names none."""

from __future__ import annotations

from flows.settings import Settings
from mtl.errors import StageError

TRIES = 3
"""Starts of a server that ends by itself: Prefect would start it again for ever."""
TIMEOUT = "PREFECT_SERVER_EPHEMERAL_STARTUP_TIMEOUT_SECONDS"


def start_prefect(settings: Settings) -> None:
    """Start it before the flow asks for it, to say what is wrong if it does not answer. The flow takes the same one.

    Raises:
        StageError: it ended, or did not answer in time.
    """
    if settings.prefect_url is not None:
        return
    import httpx
    from prefect.server.api.server import SubprocessASGIServer
    from prefect.settings import PREFECT_SERVER_EPHEMERAL_STARTUP_TIMEOUT_SECONDS as SECONDS

    class Server(SubprocessASGIServer):
        """One that is not started again for ever. Each start looks for a port."""

        starts = 0

        def find_available_port(self) -> int:
            self.starts += 1
            if self.starts > TRIES:
                raise RuntimeError(f"it ended by itself, {TRIES} times")
            return super().find_available_port()

    server = Server()  # kept by Prefect: its clients' own call of the same gives them this one
    try:
        server.start()
    except (RuntimeError, httpx.HTTPError, OSError) as error:
        process = server.server_process
        ended = process is not None and process.poll() is not None
        server.stop()
        found = str(error) if ended or not isinstance(error, RuntimeError) else f"no answer in {SECONDS.value():g} s"
        fix = f"end other programs and run again, or let it have longer: {TIMEOUT}=600 in the environment"
        if ended:
            database = settings.home / "prefect"
            fix = f"the log has its own words; if it is its database, move {database} away: another one is made"
        raise StageError("the Prefect server that this command embeds does not start", found=found, fix=fix) from error
