"""`mtl status`: what is registered and how the last run went."""

from __future__ import annotations

from pydantic import Field

from flows.checkout.leftovers import as_it_is
from flows.checkout.run_records import LastRun, read_last_run
from flows.observe.sizes import line, sizes
from flows.registry.load import registry_of
from flows.settings import Settings
from mtl.config.params import load
from mtl.errors import GoneError, RegistryError
from mtl.output.terminal import one_line
from mtl.registry.promotion import CHAMPION
from mtl.registry.registry import CHALLENGER, Registry
from mtl.registry.version import Described
from mtl.reports.types import Report


class Status(Report):
    """What is registered and how the last run went; None where there is nothing."""

    champion: Described | None
    challenger: Described | None
    last_run: LastRun | None
    bytes: dict[str, int] = Field(description="of the home, by what they are for")

    def as_json(self) -> dict[str, object]:
        """As `mtl status --json` prints it."""
        return {
            "champion": self.champion and self.champion.as_json(),
            "challenger": self.challenger and self.challenger.as_json(),
            "last_run": self.last_run and self.last_run.model_dump(mode="json", exclude_none=True),
            "bytes": self.bytes,
        }


def collect(settings: Settings) -> Status:
    """The champion, the challenger and the last run. What is unverified says so."""
    config = load(settings.root / "params.yaml")
    champion: Described | None = None
    challenger: Described | None = None
    if settings.has_registry:
        registry = registry_of(settings, config.registry.model)
        champion = _champion(registry)
        other = registry.at(CHALLENGER)
        challenger = other and other.describe(registry.metrics(other))
    last = read_last_run(settings.home)
    if last is not None:
        last = as_it_is(settings, last)
    return Status(champion=champion, challenger=challenger, last_run=last, bytes=sizes(settings))


def _champion(registry: Registry) -> Described | None:
    """The champion; where nobody who is trusted has made it one, the version that is said to be it, and why not."""
    try:
        number, doubt = registry.promotions.champion(), None
    except GoneError as error:
        return Described(version=_recorded(registry), gone=error.line)
    except RegistryError as error:
        alias = registry.at(CHAMPION)
        if alias is None:
            raise
        number, doubt = alias.number, error.line
    if number is None:
        return None
    version = registry.get(number)
    described = version.describe(registry.metrics(version))
    return described.model_copy(update={"unverified": doubt}) if doubt else described


def _recorded(registry: Registry) -> int | None:
    """Who was champion when it was last seen, if the ledger is there to say it."""
    try:
        return registry.promotions.recorded()
    except RegistryError:
        return None


def show(status: Status) -> None:
    """Print it for a person."""
    for alias, version in (("champion", status.champion), ("challenger", status.challenger)):
        if version is None:
            print(f"{alias:<11} none")
            continue
        if version.gone is not None:
            print(f"{alias:<11} GONE: {one_line(version.gone)}")
            continue
        print(f"{alias:<11} version {version.version}  weights {str(version.weights_sha256)[:12]}")
        if version.unverified:
            print(f"{'':<11} UNVERIFIED: {one_line(str(version.unverified))}")
        print(f"{'':<11} {one_line(str(version.decision))}")
        for task, metrics in version.metrics.items():
            print(f"{'':<11} {task:<10} " + "  ".join(f"{name} {value:.4f}" for name, value in metrics.items()))
    last = status.last_run
    print("last run    " + (f"{last.state} {last.ended or ''}: {last.reason or ''}" if last else "none"))
    print(f"disk        {line(status.bytes)}")
