"""What a process finds around it (a proxy, no home, an account without a name, closed streams), and what is made of that.

What we start ourselves listens on loopback, and reads the same environment: what is set here holds for children, too.
"""

from __future__ import annotations

import contextlib
import errno
import os
import sqlite3
import sys
import tempfile
from importlib.util import find_spec
from pathlib import Path

from mtl.errors import ConfigError

LOOPBACK = ("127.0.0.1", "localhost", "::1")
PROXIES = ("all_proxy", "http_proxy", "https_proxy")
LONGEST_SCRATCH = 40
"""Bytes: the sockets that Ray makes below have paths of up to 107."""
FOREIGN = (
    *("PREFECT_API_KEY", "PREFECT_PROFILE", "PREFECT_CLIENT_CUSTOM_HEADERS"),
    *("PREFECT_API_DATABASE_CONNECTION_URL", "PREFECT_SERVER_DATABASE_CONNECTION_URL", "PREFECT_SERVER_API_BASE_PATH"),
    *("PREFECT_SERVER_EPHEMERAL_ENABLED", "PREFECT_SERVER_ALLOW_EPHEMERAL_MODE"),
)
"""Of Prefect, about a server that is not the embedded one."""


def open_streams() -> None:
    """Let the three standard streams exist: else the next file that is opened takes their place, and what is printed goes
    into it.
    """
    for number in range(3):
        try:
            os.fstat(number)
        except OSError:
            os.open(os.devnull, os.O_RDONLY if number == 0 else os.O_WRONLY)  # the lowest number that is free
    for name in ("stdout", "stderr"):
        stream = getattr(sys, name)
        if stream is None:
            setattr(sys, name, open(os.devnull, "w", encoding="utf-8"))  # noqa: SIM115, PTH123 - for as long as we live
        elif hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="backslashreplace")  # a locale that lacks a character shows its number
    if sys.stdin is None:
        sys.stdin = open(os.devnull, encoding="utf-8")  # noqa: SIM115, PTH123


def settle(root: Path, home: Path) -> list[str]:
    """Set what the engines would miss or trip over in this process's environment; what is not used, in words.

    Raises:
        ConfigError: a path that one of them cannot have.
    """
    _refuse_paths(root, home)
    _exempt_loopback()
    name_user()
    _find_scratch(home)
    # Else in a folder of all, under a name that others may take. DVC lets everybody write to its own, so it lies in a closed one.
    with contextlib.suppress(OSError):  # a home that cannot be written to
        (home / "dvc-site").mkdir(mode=0o700, parents=True, exist_ok=True)
    os.environ.setdefault("DVC_SITE_CACHE_DIR", str(home / "dvc-site" / "cache"))
    os.environ.setdefault("PYTHONUTF8", "1")  # of children: files are UTF-8 whatever the locale
    return _drop_socks()


def drop_foreign(home: Path) -> list[str]:
    """Forget what another project has left of Prefect where the server is the embedded one; what is not used, in words."""
    found = [name for name in FOREIGN if os.environ.pop(name, None) is not None]
    # Another project's database, and profiles that could name another server.
    own = {"PREFECT_HOME": home / "prefect", "PREFECT_PROFILES_PATH": home / "prefect" / "profiles.toml"}
    for name, path in own.items():
        if os.environ.get(name, str(path)) != str(path):
            found.append(name)
        os.environ[name] = str(path)
    return [f"{name} (no PREFECT_API_URL is set: the server is this home's own)" for name in found]


def short_scratch() -> str:
    """A new private folder for Ray, whose path is short.

    Raises:
        ConfigError: there is no place for one.
    """
    for place in dict.fromkeys(("/tmp", tempfile.gettempdir(), "/dev/shm", "/var/tmp")):
        if len(os.fsencode(place)) <= LONGEST_SCRATCH and _usable(Path(place)):
            return tempfile.mkdtemp(prefix="mtl", dir=place)
    raise ConfigError(
        "Ray needs a folder with a short path",
        found=f"/tmp and {tempfile.gettempdir()} cannot be written to, or have more than {LONGEST_SCRATCH} bytes",
        fix="set TMPDIR to a short one that this user may write to",
    )


def _refuse_paths(root: Path, home: Path) -> None:
    for what, path, sign, why in (
        ("the checkout", root, os.pathsep, "Python's search path cannot have one"),
        ("MTL_HOME", home, "?", "the addresses of MLflow's and Prefect's databases cannot have one"),
    ):
        if sign in str(path):
            fix = "move it" if what == "the checkout" else "set MTL_HOME to a folder elsewhere"
            raise ConfigError(f"the path of {what} has a {sign!r}: {why}", found=str(path), fix=fix)


def trouble_with_disk(error: BaseException) -> ConfigError | None:
    """What a full or read-only disk did, of whichever library's error it is the cause."""
    seen: set[int] = set()
    at: BaseException | None = error
    while at is not None and id(at) not in seen:
        seen.add(id(at))
        full = isinstance(at, OSError) and at.errno in (errno.ENOSPC, errno.EDQUOT)
        closed = isinstance(at, OSError) and at.errno == errno.EROFS
        if isinstance(at, sqlite3.OperationalError):
            full, closed = "full" in str(at), "readonly" in str(at)
        if full or closed:
            place = getattr(at, "filename", None) or f"MTL_HOME is {os.environ.get('MTL_HOME', '.mtl')}"
            fix = "make room (mtl data gc), then run again: nothing is lost" if full else "name a place to write to"
            return ConfigError(f"a disk is {'full' if full else 'read-only'}", found=f"{at}; {place}", fix=fix)
        at = at.__cause__ or at.__context__
    return None


def _drop_socks() -> list[str]:
    """Forget SOCKS proxies that cannot be spoken to: httpx would fail for every address, exempt or not."""
    if find_spec("socksio"):
        return []
    names = [name for name in os.environ if name.lower() in PROXIES and os.environ[name].lower().startswith("socks")]
    for name in names:
        del os.environ[name]
    return [f"{name} (a SOCKS proxy needs the package socksio)" for name in names]


def _exempt_loopback() -> None:
    """Ask no proxy for what is on this machine."""
    for name in ("no_proxy", "NO_PROXY"):
        listed = os.environ.get(name) or os.environ.get(name.swapcase(), "")
        known = [part.strip() for part in listed.split(",") if part.strip()]
        if "*" in known:  # no proxy for anything; it counts only where it stands alone
            os.environ[name] = "*"
            continue
        os.environ[name] = ",".join([*known, *(host for host in LOOPBACK if host not in known)])


def name_user() -> None:
    """A name and a home for an account that has none, as in a container: libraries ask for both when they are imported."""
    try:
        import pwd

        pwd.getpwuid(os.getuid())
        known = True
    except (ImportError, KeyError):
        known = sys.platform == "win32"
    if not known:
        os.environ["LOGNAME"] = os.environ.get("LOGNAME") or f"uid-{os.getuid()}"
        os.environ["USER"] = os.environ.get("USER") or os.environ["LOGNAME"]
    if not os.environ.get("HOME") or not Path(os.environ["HOME"]).is_dir():
        try:
            os.environ.pop("HOME", None)
            os.environ["HOME"] = str(Path.home())
        except RuntimeError:
            os.environ["HOME"] = str(Path(os.environ.get("MTL_HOME", ".mtl")).resolve())


def _find_scratch(home: Path) -> None:
    """A temporary folder that can be written to: one's own in the home where the system has none. What is said to be one
    and is not would be believed by engines that are not written in Python.
    """
    said = os.environ.get("TMPDIR")
    if said and not _usable(Path(said)):
        del os.environ["TMPDIR"]
    if not os.environ.get("TMPDIR") and not any(_usable(Path(place)) for place in ("/tmp", "/var/tmp")):
        (home / "tmp").mkdir(exist_ok=True)
        os.environ["TMPDIR"] = str(home / "tmp")
    tempfile.tempdir = None  # it may have been looked for already


def _usable(folder: Path) -> bool:
    there = folder if folder.exists() else folder.parent
    return there.is_dir() and os.access(there, os.W_OK | os.X_OK)
