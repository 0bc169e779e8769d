"""`mtl deploy`: the deployments of `mtl serve` for a work pool, whose workers start every run: a process or a Kubernetes job."""

from __future__ import annotations

import asyncio
import contextlib
from typing import Any

from flows.checkout.git import git_prefix
from flows.checkout.installed import is_project
from flows.checkout.project import VARIABLE, project_of
from flows.schedule.deployments import crash_silent_runs, deployments, ensure_automation
from flows.schedule.pauses import as_paused, note_applied, remove_unwanted
from flows.schedule.ticks import refuse_crons
from flows.settings import Settings, reach_prefect
from mtl.config.params import load
from mtl.errors import ConfigError, MtlError

PROCESS, KUBERNETES = "process", "kubernetes"


def deploy(
    settings: Settings, pool: str, kind: str, *, image: str = "", repository: str = "", revision: str = "", secret: str
) -> list[str]:
    """Register schedule and monitor with a work pool; it is made if it is not there. The names of the deployments.

    Args:
        kind: process: workers run on machines that have this checkout, at this path; kubernetes: every run is a job from an
            image, on a fresh clone.
        image: named by its digest.
        repository: what a run clones, at a revision (a commit, or a branch).
        secret: of Kubernetes, whose keys are the run's environment (addresses, passwords).

    Raises:
        ConfigError: something that the kind of pool needs was not said.
        MtlError: there is no server, it refuses, or the pool is of another kind.
    """
    if settings.prefect_url is None:
        raise MtlError(
            "a work pool needs a Prefect server",
            found="PREFECT_API_URL is not set",
            fix="name a running server, or use mtl serve",
        )
    if kind == KUBERNETES and not (repository and "@sha256:" in image):
        raise ConfigError(
            "in Kubernetes a run clones a repository, in an image that is named by its digest",
            found=f"--repository {repository or 'not said'}, --image {image or 'not said'}",
            fix="--repository https://… --image registry.example.com/mtl@sha256:…",
        )
    if kind == KUBERNETES and (inside := git_prefix(settings.root)):
        raise ConfigError(
            "in Kubernetes a run works in the root of the repository that it clones",
            found=f"this checkout is {inside} of its repository",
            fix="--kind process, or a repository of its own (git subtree split)",
        )
    reach_prefect(settings)
    config = load(settings.root / "params.yaml")
    refuse_crons(config)
    _make_pool(pool, kind, secret)
    where: dict[str, Any] = {"work_pool_name": pool}
    if config.schedule.priority is not None:
        where["work_queue_name"] = _make_queue(pool, config.schedule.priority)
    source: Any = str(settings.root)
    if kind == KUBERNETES:
        from prefect.runner.storage import GitRepository

        commit = len(revision) == 40
        source = GitRepository(
            repository, commit_sha=revision if commit else None, branch=None if commit else revision or None
        )
        where["job_variables"] = {"image": image}
    project = project_of(settings, config, repository)
    where.setdefault("job_variables", {})["env"] = {VARIABLE: project}  # a run elsewhere speaks in the same name
    ensure_automation(crash_silent_runs(project))
    wanted = as_paused(
        deployments(config, project, source=source, installed=is_project(settings.root), **where), config, settings.home
    )
    for one in wanted:
        one.apply(work_pool_name=pool)
    remove_unwanted(wanted, project)
    note_applied(config, settings.home)
    return [f"{one.flow_name}/{one.name}" for one in wanted]


def _make_pool(name: str, kind: str, secret: str) -> None:
    from prefect.client.orchestration import get_client
    from prefect.client.schemas.actions import WorkPoolCreate
    from prefect.exceptions import ObjectNotFound

    with get_client(sync_client=True) as client:
        try:
            known = client.read_work_pool(name)
        except ObjectNotFound:
            client.create_work_pool(WorkPoolCreate(name=name, type=kind, base_job_template=_template(kind, secret)))
            return
    if known.type != kind:
        raise MtlError(f"the work pool {name} is of another kind", found=known.type, fix=f"--kind {known.type}")


def _make_queue(pool: str, priority: int) -> str:
    """The queue of this priority, whose name says it; workers of the pool take from the first one that has a run."""
    from prefect.client.orchestration import get_client
    from prefect.exceptions import ObjectAlreadyExists

    name = f"priority-{priority}"
    with get_client(sync_client=True) as client, contextlib.suppress(ObjectAlreadyExists):
        client.create_work_queue(name, priority=priority, work_pool_name=pool)
    return name


def _template(kind: str, secret: str) -> dict[str, object]:
    """Prefect's own; in Kubernetes the secret's keys are the environment, and the container is confined."""
    from prefect.workers.utilities import get_default_base_job_template_for_infrastructure_type

    template: object = asyncio.run(get_default_base_job_template_for_infrastructure_type(kind))
    if template is None:
        raise MtlError(f"Prefect knows no work pools of the kind {kind}", fix="process or kubernetes")
    if kind == KUBERNETES:
        pod = template["job_configuration"]["job_manifest"]["spec"]["template"]["spec"]
        pod["automountServiceAccountToken"] = False
        pod["securityContext"] = {"runAsNonRoot": True, "runAsUser": 10001, "fsGroup": 10001}
        (container,) = pod["containers"]
        container["envFrom"] = [{"secretRef": {"name": secret}}]
        container["securityContext"] = {"allowPrivilegeEscalation": False, "capabilities": {"drop": ["ALL"]}}
    return template
