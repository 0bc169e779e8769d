"""The environment: addresses and folders, never in params.yaml. Unset means embedded."""

from __future__ import annotations

import logging
import os
import secrets
import sys
import tempfile
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

from flows.run_log import show_lines
from flows.terminal import current
from mtl.errors import MtlError, StageError
from mtl.registry.key_files import KeySource, key_source
from mtl.registry.package_cache import PackageCache
from mtl.registry.signing import own_keys
from mtl.registry.trust import Trust, trusted
from mtl.surroundings import drop_foreign, settle

_LOG = logging.getLogger(__name__)
# What every process that we start gets, unless the environment says otherwise.
DEFAULTS = {
    "MLFLOW_ALLOW_PICKLE_DESERIALIZATION": "false",
    # A server that is down is asked again for some 15 s; then the step's own retries have their turn.
    "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "4",
    "MLFLOW_DISABLE_TELEMETRY": "true",
    "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false",  # of a feature that nothing here uses: six processes
    "MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR": "false",
    "DO_NOT_TRACK": "1",
    "DVC_NO_ANALYTICS": "1",
    "GIT_PYTHON_REFRESH": "quiet",
    "PREFECT_SERVER_ANALYTICS_ENABLED": "false",
    "PREFECT_SERVER_CORS_ALLOWED_ORIGINS": "http://127.0.0.1",  # else every page's; its own needs none
    "PREFECT_SERVER_EPHEMERAL_STARTUP_TIMEOUT_SECONDS": "180",
    # In memory, a killed runner's slot would block a one-at-a-time schedule for ever.
    "PREFECT_SERVER_CONCURRENCY_LEASE_STORAGE": "prefect.server.concurrency.lease_storage.filesystem",
    "PREFECT_FLOWS_HEARTBEAT_FREQUENCY": "30",
    "PREFECT_LOGGING_TO_API_WHEN_MISSING_FLOW": "ignore",
    "RAY_USAGE_STATS_ENABLED": "0",
}


WEB = ("http://", "https://")
DATABASES = ("sqlite:///", "postgresql", "mysql", "mssql")


@dataclass(frozen=True)
class Settings:
    """Where things are."""

    root: Path
    """The project that is retrained, or the checkout of mtl."""
    home: Path
    """State that no version is made of: databases, downloads, checkpoints."""
    mlflow_uri: str
    prefect_url: str | None
    """None: a server is embedded for as long as a flow runs."""

    def ensure_signing_key(self) -> KeySource:
        """What packages are signed with: MTL_SIGNING_KEY (a file, or a text), or a key of this home's own, which is made if
        there is none.
        """
        given = os.environ.get("MTL_SIGNING_KEY")
        return key_source(given) if given else own_keys(self.home / "keys")[0]

    @property
    def trust(self) -> Trust:
        """Whose signatures count: those of MTL_SIGNING_PUBLIC_KEY (files and folders of keys, separated as in PATH), of
        MTL_SIGNING_KEY, of this home's own key, and of the checkout's trusted_keys/.
        """
        return trusted(self.home, self.root)

    def ensure_login(self) -> str:
        """Of the servers that this home embeds, as `user:password`; the password is made if there is none.

        Raises:
            MtlError: others could have read or written the password.
        """
        return f"mtl:{own_password(self.home)}"

    @property
    def has_registry(self) -> bool:
        """Whether there is one to ask; the database of an embedded one is made when the first version is."""
        path = self.mlflow_uri.removeprefix("sqlite:///")
        return path == self.mlflow_uri or (self.root / path).exists()

    @property
    def packages(self) -> PackageCache | None:
        """Packages that a server gave before; None: they are on this machine anyway."""
        return self.copies if self.mlflow_uri.startswith("http") else None

    @property
    def copies(self) -> PackageCache:
        """Where this home keeps packages that it has used: what was deleted in the registry is put back from there."""
        return PackageCache(self.home / "packages")

    @property
    def artifacts(self) -> str | None:
        """Where a new MLflow experiment keeps its artifacts; a server decides for itself."""
        embedded = self.mlflow_uri.startswith("sqlite")
        return (self.home / "mlartifacts").as_uri() if embedded else os.environ.get("MTL_ARTIFACTS")


def load_settings(root: Path | None = None) -> Settings:
    """Where things are, as the environment says; nothing is made or changed.

    Raises:
        MtlError: not in a project.
    """
    root = (root or Path.cwd()).resolve()
    if not _is_root(root):
        above = next((folder for folder in root.parents if _is_root(folder)), None)
        raise MtlError(
            "this is not the root of a project",
            found=f"no params.yaml and dvc.yaml in {root}",
            fix=f"cd {above}" if above else "cd to the folder that has both; mtl new NAME makes one",
        )
    home = Path(os.environ.get("MTL_HOME", root / ".mtl")).resolve()
    uri = os.environ.get("MLFLOW_TRACKING_URI", f"sqlite:///{home}/mlflow.db")
    prefect = os.environ.get("PREFECT_API_URL") or None
    _refuse_address("MLFLOW_TRACKING_URI", uri, (*WEB, *DATABASES), "http://HOST:5000")
    if prefect is not None:
        _refuse_address("PREFECT_API_URL", prefect, WEB, "http://HOST:4200/api")
    return Settings(root, home, uri, prefect)


def _refuse_address(name: str, url: str, schemes: tuple[str, ...], example: str) -> None:
    """Raise MtlError if a variable has something else than the address of a server (or a database)."""
    if not url.startswith(schemes):
        raise MtlError(
            f"{name} is no address of a server",
            found=url or "it is empty",
            fix=f"write it in full, as {example}; or unset it: then it is embedded",
        )


def _is_root(folder: Path) -> bool:
    return (folder / "params.yaml").exists() and (folder / "dvc.yaml").exists()


def enter_checkout(root: Path | None = None) -> Settings:
    """As `load_settings`, for a process that is to work there: the home is made, and this process's environment is what the
    engines and its children read. To be called before MLflow or Prefect are imported; again, it changes nothing.

    Raises:
        MtlError: not in a checkout, or nothing can be written to the home.
    """
    show_lines()  # a run that a server started has no command that did
    terminal = current()
    settings = load_settings(root)
    _make_home(settings.home)
    if terminal is not None:
        terminal.keep_log(settings.home)
    unused = settle(settings.root, settings.home)
    os.environ |= {"MTL_HOME": str(settings.home), "MLFLOW_TRACKING_URI": settings.mlflow_uri}
    for key, value in {"PREFECT_HOME": str(settings.home / "prefect"), **DEFAULTS}.items():
        os.environ.setdefault(key, value)
    bin_folder = str(Path(sys.executable).parent)
    if bin_folder not in os.environ.get("PATH", "").split(os.pathsep):
        os.environ["PATH"] = os.pathsep.join([bin_folder, os.environ.get("PATH", "")])
    for line in unused + (drop_foreign(settings.home) if settings.prefect_url is None else []):
        _LOG.warning(f"not used: {line}")
    _name_login(settings)
    return settings


def _make_home(home: Path) -> None:
    try:
        home.mkdir(parents=True, exist_ok=True)
        tempfile.TemporaryFile(dir=home).close()  # a full disk, or one that is read-only, shows itself now
    except OSError as error:
        raise MtlError(
            f"cannot write to {home}",
            found=error.strerror or str(error),
            fix="make room, or set MTL_HOME to a folder that you own",
        ) from error


def _name_login(settings: Settings) -> None:
    """Let Prefect's clients, and the server that one starts for itself, know the login of this home's servers."""
    before = os.environ.get("PREFECT_API_AUTH_STRING")
    if settings.prefect_url is None:
        login = settings.ensure_login()
        os.environ |= {"PREFECT_API_AUTH_STRING": login, "PREFECT_SERVER_API_AUTH_STRING": login}
    elif urlsplit(settings.prefect_url).hostname in ("127.0.0.1", "localhost"):
        os.environ.setdefault("PREFECT_API_AUTH_STRING", settings.ensure_login())
    if before != os.environ.get("PREFECT_API_AUTH_STRING") and "prefect.context" in sys.modules:
        sys.modules["prefect.context"].refresh_global_settings_context()  # it has read the environment already


def own_password(home: Path) -> str:
    """The password of the servers that a home embeds, made at the first time, for its user alone to read.

    Raises:
        MtlError: others could have read or written it.
    """
    path = home / "password"
    if not path.exists():
        number, scratch = tempfile.mkstemp(dir=home)  # nobody else's to read
        with os.fdopen(number, "w", encoding="utf-8") as file:
            file.write(secrets.token_urlsafe(32))
        with suppress(FileExistsError):  # another process was first
            os.link(scratch, path)
        Path(scratch).unlink()
    state = path.lstat()
    if state.st_uid != os.getuid() or state.st_mode & 0o077:
        raise MtlError(
            "the password of the embedded servers may be known to others",
            found=f"{path} belongs to user {state.st_uid}, mode {state.st_mode & 0o777:o}",
            fix="delete it: another one will be made",
        )
    return path.read_text(encoding="utf-8")


def reach_prefect(settings: Settings) -> None:
    """Ask the Prefect server that the environment names, if any, whether it lets us in.

    Raises:
        MtlError: it refuses.
        StageError: it does not answer; another try may help.
    """
    if settings.prefect_url is None:
        return
    import httpx
    from prefect.client.orchestration import get_client

    try:
        with get_client(sync_client=True) as client:
            client.api_version()
    except httpx.HTTPStatusError as error:
        status = error.response.status_code
        denied = status in (401, 403)
        raise MtlError(
            f"the Prefect server at {settings.prefect_url} refuses",
            found=f"status {status}",
            fix=f"check {'PREFECT_API_AUTH_STRING (user:password)' if denied else 'PREFECT_API_URL: it ends in /api'}",
        ) from error
    except ValueError as error:  # a page, where Prefect's API would say a version
        raise MtlError(
            f"what answers at {settings.prefect_url} is no Prefect server",
            found=str(error).splitlines()[0][:200],
            fix="check PREFECT_API_URL: it ends in /api",
        ) from error
    except httpx.RequestError as error:
        raise StageError(
            f"the Prefect server at {settings.prefect_url} is out of reach",
            found=str(error) or type(error).__name__,
            fix="check PREFECT_API_URL and that it runs",
        ) from error
