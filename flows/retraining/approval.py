"""A person's yes before a promotion: the flow run pauses, and no answer in time is a no."""

from __future__ import annotations

import logging
from typing import Any

from prefect.exceptions import FlowPauseTimeout
from prefect.flow_runs import pause_flow_run, resume_flow_run
from prefect.input import RunInput
from prefect.runtime import flow_run

from flows.settings import Settings
from mtl.config.params import Config
from mtl.errors import ConfigError, MtlError
from mtl.output.redaction import redact
from mtl.reports import Decision, Rule

_LOG = logging.getLogger(__name__)


class Approval(RunInput):
    """The form of the Prefect page, and what `mtl approve` sends."""

    approve: bool
    who: str = ""
    why: str = ""


def refuse_unanswerable(config: Config, settings: Settings) -> None:
    """An embedded server ends with its flow: nobody could answer.

    Raises:
        ConfigError: an approval is wanted, and no server is named.
    """
    if config.gate.approval_minutes and settings.prefect_url is None:
        raise ConfigError(
            "gate.approval_minutes: nobody could answer",
            found="no PREFECT_API_URL: the server would be embedded in this run",
            fix="name a server (mtl serve and mtl ui start one), or set gate.approval_minutes to null",
        )


def ask(decision: Decision, version: int, minutes: float) -> Decision:
    """Pause the flow run until somebody answers; the decision with their answer as one more rule."""
    text = (
        f"**Version {version}** passed the gate: {decision.summary}\n\nMay it become champion? No answer within "
        f"{minutes:g} minutes is a no. On a terminal: `mtl approve {flow_run.id}` or `mtl approve {flow_run.id} --no`."
    )
    _LOG.warning(f"version {version} waits for a person: mtl approve {flow_run.id} (or --no)")
    form = Approval.with_initial_data(description=text)
    try:
        answer: Any = pause_flow_run(
            wait_for_input=form, timeout=round(minutes * 60), poll_interval=5, key=f"version-{version}"
        )
        said = "yes" if answer.approve else "no"
        found = f"{said}, by {answer.who or 'somebody'}" + (f": {answer.why}" if answer.why else "")
        found, agreed = redact(found), bool(answer.approve)
    except FlowPauseTimeout:
        found, agreed = "no answer", False
    rule = Rule(name="approval", required=f"a person's yes within {minutes:g} minutes", found=found, passed=agreed)
    summary = f"{decision.summary} (approval: {found})"
    if not agreed:
        summary = f"not promoted: approval requires {rule.required}, found {found}"
    return decision.model_copy(update={"promote": agreed, "rules": (*decision.rules, rule), "summary": summary})


def answer(run: str, *, approve: bool, who: str, why: str) -> None:
    """Answer a flow run that waits.

    Raises:
        MtlError: there is no such flow run, or it does not wait.
    """
    from uuid import UUID

    try:
        resume_flow_run(UUID(run), run_input={"approve": approve, "who": who, "why": redact(why)})
    except Exception as error:  # Prefect's own kinds, and the client's
        raise MtlError(
            f"the flow run {run} takes no answer",
            found=str(error).splitlines()[0][:300],
            fix="its id stands in the Prefect page and in the run's log; PREFECT_API_URL names the server",
        ) from error
