"""Work handed to a cluster through Ray's Jobs API: from a machine that does not belong to it.

The job runs where the cluster puts it. What it is told, its checkpoints, its result and its error are in the store; code
travels with the job, shards come by hash to each node. The submission's id is made from a content key, so a stage
that was started again finds the job that is still running instead of starting another.
"""

from __future__ import annotations

import logging
import shlex
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from mtl.cluster.protocol import JOB, STOP, Job
from mtl.cluster.session import code_environment
from mtl.config.trees.cluster import ClusterTree
from mtl.errors import StageError, TrainingError
from mtl.logs import pass_on
from mtl.storage.seal import Seal
from mtl.storage.store import Store

if TYPE_CHECKING:
    from ray.job_submission import JobSubmissionClient

_LOG = logging.getLogger(__name__)

POLL_SECONDS = 1.0
VARIABLE = "MTL_SEAL"
"""Has the seal's key, in the job's environment: whoever may write to the bucket does not see it."""
OVER = ("SUCCEEDED", "FAILED", "STOPPED")


@dataclass(frozen=True)
class Work:
    """What a cluster is to do.

    Attributes:
        name: stands before the lines that tell of it.
        module: runs on the cluster, with the store's address as its argument.
        job: what it finds there, sealed.
        key: of its content: the same work of one MTL_HOME has the same.
    """

    name: str
    module: str
    job: Job
    store: Store
    seal: Seal
    key: str


class Submission:
    """One job on a cluster."""

    def __init__(self, client: JobSubmissionClient, identifier: str) -> None:
        self.client, self.identifier = client, identifier
        self._told = 0

    def status(self) -> str:
        """As Ray says it."""
        return str(self.client.get_job_status(self.identifier).value)

    def tell(self) -> None:
        """Pass on the whole lines that the job has written since the last time."""
        lines = self.client.get_job_logs(self.identifier)
        end = lines.rfind("\n") + 1
        for line in lines[self._told : end].splitlines():
            pass_on(_LOG, line)
        self._told = max(self._told, end)

    def wait(self, until: Callable[[], bool]) -> str:
        """Pass on its lines until it is over, or until something else; its status then."""
        while True:
            status = self.status()
            self.tell()
            if status in OVER or until():
                return status
            time.sleep(POLL_SECONDS)


def submit(config: ClusterTree, work: Work, until: Callable[[], bool], stop_seconds: float) -> None:
    """Start the job, or join the one that runs, and pass on its lines until it is over.

    Args:
        until: true once this process is told to end: the job is asked to end by itself, and stopped if it does not in time.

    Raises:
        TrainingError: the cluster refuses the token.
        StageError: the cluster is out of reach. The job goes on; run again to join it.
    """
    from ray.exceptions import AuthenticationError
    from ray.job_submission import JobSubmissionClient

    address = config.cluster.address
    try:
        client = JobSubmissionClient(address)
        identifier, runs = _free_or_running(client, work.key)
        if runs:
            _LOG.info(f"{work.name}: joins the job {identifier} on {address}")
        else:
            work.seal.write(work.store, JOB, work.job.model_dump(mode="json"))
            # -P: this code, not what lies where the head was started
            command = f"python -P -m {shlex.quote(work.module)} {shlex.quote(work.store.url)}"  # a shell of the cluster reads it
            environment = code_environment(config)
            environment["env_vars"] |= {VARIABLE: work.seal.key.hex()}
            client.submit_job(entrypoint=command, submission_id=identifier, runtime_env=environment)
            _LOG.info(f"{work.name}: handed over to {address} as the job {identifier}")
        submission = Submission(client, identifier)
        status = submission.wait(until)
        if status not in OVER:
            work.store.put(STOP, b"")
            deadline = time.monotonic() + stop_seconds
            status = submission.wait(lambda: time.monotonic() > deadline)
            if status not in OVER:
                client.stop_job(identifier)
    except AuthenticationError as error:
        raise TrainingError(
            f"the Ray cluster at {address} refuses", found="a wrong token, or none", fix="check RAY_AUTH_TOKEN"
        ) from error
    except (ConnectionError, RuntimeError, OSError) as error:
        raise StageError(
            f"the Ray cluster at {address} is out of reach",
            found=str(error).strip().splitlines()[0][:300] if str(error).strip() else type(error).__name__,
            fix="check cluster.address; a job that runs there goes on, and running again joins it",
        ) from error


def _free_or_running(client: JobSubmissionClient, key: str) -> tuple[str, bool]:
    """The id of this training's job that is not over; or the first that no job has."""
    known = {job.submission_id: str(job.status.value) for job in client.list_jobs() if job.submission_id}
    number = 0
    while (identifier := f"mtl-{key}-{number}") in known:
        if known[identifier] not in OVER:
            return identifier, True
        number += 1
    return identifier, False
