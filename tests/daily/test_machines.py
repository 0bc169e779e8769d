"""Machines as they are: proxies, accounts without a name, paths with every sign, closed streams, full disks, two homes."""

from __future__ import annotations

import http.server
import json
import os
import shutil
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from flows.checkout.homes import homes
from flows.checkout.origin import read_origin
from flows.checkout.uncommitted import difference
from flows.checkout.workspace import exclusive, running, workspace
from flows.registry.restore import _checkout  # pyright: ignore[reportPrivateUsage]
from flows.settings import Settings
from mtl.errors import BusyError, ConfigError
from mtl.registry.tracking import connect
from mtl.surroundings import short_scratch, trouble_with_disk
from tests import servers
from tests.conftest import ROOT, clean_environment, mtl, set_params

GIT = ("git", "-c", "user.name=t", "-c", "user.email=t@example.com")
DEAD = "http://127.0.0.1:9"
"""Nobody listens there."""
SETTLE = "import sys; from flows.cli import main; from flows.settings import enter_checkout; enter_checkout(); "
linux = pytest.mark.skipif(sys.platform != "linux", reason="Linux")


@pytest.fixture
def bare(tmp_path: Path) -> Path:
    """A checkout without code, as a git repository."""
    for name in ("params.yaml", "dvc.yaml"):
        shutil.copy(ROOT / name, tmp_path / name)
    shutil.copytree(ROOT / ".dvc", tmp_path / ".dvc", ignore=shutil.ignore_patterns("cache", "tmp", "config.local"))
    (tmp_path / ".gitignore").write_text(".mtl\n")
    for words in (["init", "-q"], ["add", "-A"], ["commit", "-qm", "all"]):
        subprocess.run([*GIT, *words], cwd=tmp_path, check=True)
    return tmp_path


def python(code: str, folder: Path, *before: str, **environment: str) -> subprocess.CompletedProcess[str]:
    """A process of ours in a folder."""
    command = [*before, sys.executable, "-c", code]
    own = clean_environment() | {"PYTHONPATH": str(ROOT)} | environment
    return subprocess.run(command, cwd=folder, env=own, capture_output=True, text=True, timeout=120, check=False)


@pytest.fixture
def page() -> Iterator[str]:
    """A server on loopback."""

    class Answer(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200)
            self.send_header("Content-Length", "2")
            self.end_headers()
            self.wfile.write(b"ok")

        def log_message(self, *words: object) -> None:  # pyright: ignore[reportIncompatibleMethodOverride]
            """Nothing."""

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Answer) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()


@pytest.mark.daily(situation="http_proxy, https_proxy and a SOCKS proxy in the environment")
def test_no_proxy_is_asked_for_what_is_on_this_machine(bare: Path, page: str) -> None:
    code = SETTLE + (
        "import urllib.request, requests, httpx, subprocess;"
        f"assert urllib.request.urlopen('{page}').read() == b'ok';"
        f"assert requests.get('{page}').text == httpx.get('{page}').text == 'ok';"
        f"child = 'import urllib.request; print(urllib.request.urlopen(\\'{page}\\').read())';"
        "print(subprocess.run([sys.executable, '-c', child], capture_output=True, text=True).stdout)"
    )
    proxies = {"http_proxy": DEAD, "HTTPS_PROXY": DEAD, "ALL_PROXY": "socks5://127.0.0.1:9", "no_proxy": "intern"}
    done = python(code, bare, **proxies)
    assert done.stdout.strip() == "b'ok'", done.stderr
    assert "not used: ALL_PROXY" in done.stderr
    kept = python(SETTLE + "import os; print(os.environ['NO_PROXY'])", bare, **proxies)
    assert kept.stdout.strip() == "intern,127.0.0.1,localhost,::1"


@pytest.mark.daily(situation="variables of Prefect and MLflow that another project has left")
def test_what_another_project_has_left_is_not_used(bare: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    left = {"PREFECT_API_KEY": "pnu_left", "PREFECT_SERVER_DATABASE_CONNECTION_URL": "postgresql+asyncpg://x@nowhere/p"}
    code = (
        SETTLE + "import os; print([name for name in os.environ if name in " + repr([*left, "PREFECT_PROFILE"]) + "])"
    )
    done = python(code, bare, PREFECT_PROFILE="another", PREFECT_HOME=str(bare / "theirs"), **left)
    assert done.stdout.strip() == "[]"
    assert all(f"not used: {name}" in done.stderr for name in [*left, "PREFECT_HOME"])
    assert not (bare / "theirs").exists()
    monkeypatch.setenv("MLFLOW_REGISTRY_URI", DEAD)
    client = connect(f"sqlite:///{bare}/mlflow.db")
    assert list(client.search_registered_models()) == []


@pytest.mark.daily(situation="standard streams that are closed")
def test_closed_streams_are_no_place_for_a_file(bare: Path) -> None:
    code = (
        "from mtl.surroundings import open_streams; open_streams(); import os, sys; print('x'); sys.stderr.write('x');"
        "file = open('log', 'w'); file.write(str(file.fileno()))"
    )
    own = clean_environment() | {"PYTHONPATH": str(ROOT)}
    shell = ["sh", "-c", 'exec "$@" <&- >&- 2>&-', "sh"]
    assert subprocess.run([*shell, sys.executable, "-c", code], cwd=bare, env=own, check=False).returncode == 0
    assert int((bare / "log").read_text()) > 2
    done = subprocess.run([*shell, sys.executable, "-m", "flows.cli", "list"], cwd=bare, env=own, check=False)
    assert done.returncode == 0


@pytest.mark.daily(situation="a locale that lacks a character, TERM=dumb, a reader that has read enough")
def test_no_locale_and_no_closed_pipe_is_a_traceback(bare: Path) -> None:
    code = "from mtl.surroundings import open_streams; open_streams(); print('weights ≠')"
    done = python(code, bare, PYTHONIOENCODING="latin-1", TERM="dumb", LC_ALL="POSIX")
    assert done.stdout == "weights \\u2260\n"
    own = clean_environment() | {"PYTHONPATH": str(ROOT), "TERM": "dumb"}
    command = f"{sys.executable} -m flows.cli list --json | head -c 1"
    shown = subprocess.run(["bash", "-c", command], cwd=bare, env=own, capture_output=True, text=True, check=False)
    assert "Traceback" not in shown.stderr and "BrokenPipe" not in shown.stderr


@linux
@pytest.mark.skipif(not shutil.which("setpriv") or os.name != "posix" or os.getuid() != 0, reason="root, setpriv")
@pytest.mark.slow
@pytest.mark.daily(situation="a user without an entry in passwd, without HOME")
def test_an_account_without_a_name_has_one_and_a_home(bare: Path) -> None:
    os.chown(bare, 54321, 54321)
    as_nobody = ("setpriv", "--reuid=54321", "--regid=54321", "--clear-groups", "--inh-caps=+dac_override")
    code = (
        "import os, sys; os.environ.pop('HOME', None); from mtl.surroundings import name_user; name_user();"
        "import getpass; from pathlib import Path; import mlflow; from mtl.registry.actor import actor;"
        "print(getpass.getuser(), Path.home() == Path('.mtl').resolve(), actor().split('@')[0])"
    )
    done = python(code, bare, *as_nobody, "--ambient-caps=+dac_override", USER="", LOGNAME="")
    assert done.stdout.strip() == "uid-54321 True uid 54321", done.stderr


@pytest.mark.daily(situation="a temporary directory that is not there or cannot be written to")
def test_a_temporary_folder_is_found(bare: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    code = SETTLE + "import os, tempfile; print(os.environ.get('TMPDIR'), tempfile.gettempdir())"
    done = python(code, bare, TMPDIR="/nonexistent/tmp")
    assert done.stdout.split() == ["None", "/tmp"]
    none = code.replace(
        "enter_checkout();", "import mtl.surroundings as s; s._usable = lambda p: False; enter_checkout();"
    )
    own = str(bare / ".mtl" / "tmp")
    assert python(none, bare).stdout.split() == [own, own]
    monkeypatch.setattr("mtl.surroundings._usable", lambda folder: False)
    with pytest.raises(ConfigError, match="short path"):
        short_scratch()


@pytest.mark.daily(situation="a question mark or a colon in the path")
def test_paths_that_an_engine_cannot_have_are_refused_at_once(bare: Path, tmp_path: Path) -> None:
    home = mtl(bare, "status", MTL_HOME=str(tmp_path / "what?"), PYTHONPATH=str(ROOT))
    assert home.returncode == 2
    assert "MTL_HOME has a '?'" in home.stderr and "fix:" in home.stderr
    folder = tmp_path / "a:b"
    folder.mkdir()
    for name in ("params.yaml", "dvc.yaml"):
        shutil.copy(ROOT / name, folder / name)
    root = python(SETTLE, folder)
    assert "the checkout has a ':'" in root.stderr


@pytest.mark.daily(situation="commas, spaces, hashes, percent signs and umlauts in the path")
@pytest.mark.parametrize("sign", [" ,#%20é&';=+@", '%"\\'])
def test_a_registry_lives_below_any_path(sign: str, tmp_path: Path) -> None:
    home = tmp_path / f"a{sign}b"
    home.mkdir()
    settings = Settings(ROOT, home, f"sqlite:///{home}/mlflow.db", None)
    client = connect(settings.mlflow_uri)
    run = client.create_run(client.create_experiment("e", settings.artifacts)).info.run_id
    (tmp_path / "kept.txt").write_text("kept")
    client.log_artifact(run, str(tmp_path / "kept.txt"))
    assert Path(client.download_artifacts(run, "kept.txt", str(tmp_path / f"a{sign}b"))).read_text() == "kept"
    assert (home / "mlflow.db").exists() and list((home / "mlartifacts").rglob("kept.txt"))
    assert {path.name for path in tmp_path.iterdir()} == {home.name, "kept.txt"}


def mounted(options: str) -> list[str]:
    """Words before a command that sees a small disk of its own in ./disk; skips where that is not allowed."""
    words = ["unshare", "-m", "sh", "-c", f'mount -t tmpfs -o {options} none disk && exec "$@"', "sh"]
    probe = subprocess.run(["unshare", "-m", "true"], capture_output=True, check=False)
    if probe.returncode:
        pytest.skip("no mounts here")
    return words


@linux
@pytest.mark.slow
@pytest.mark.daily(situation="a disk that is read-only, full, or too small")
@pytest.mark.parametrize(
    ("options", "words", "said"),
    [("ro", ("status",), "cannot write to"), ("size=200k", ("clean",), "a disk is full")],
)
def test_a_disk_that_takes_nothing_is_named(bare: Path, options: str, words: tuple[str, ...], said: str) -> None:
    (bare / "disk").mkdir()
    command = [*mounted(options), sys.executable, "-m", "flows.cli", *words]
    own = clean_environment() | {"PYTHONPATH": str(ROOT), "MTL_HOME": str(bare / "disk")}
    done = subprocess.run(command, cwd=bare, env=own, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 2, done.stderr
    assert said in done.stderr and "fix:" in done.stderr and "Traceback" not in done.stderr


@pytest.mark.daily(situation="a disk that is read-only, full, or too small")
def test_a_full_disk_is_seen_behind_other_errors() -> None:
    try:
        try:
            raise OSError(28, "No space left on device", "outputs/raw")
        except OSError as error:
            raise RuntimeError("a stage failed") from error
    except RuntimeError as error:
        found = trouble_with_disk(error)
    assert found is not None and "full" in str(found) and "outputs/raw" in str(found)
    assert trouble_with_disk(RuntimeError("else")) is None


def settings_of(root: Path, home: Path) -> Settings:
    home.mkdir(parents=True, exist_ok=True)
    return Settings(root, home, f"sqlite:///{home}/mlflow.db", None)


HOLD = """
import sys, time
from pathlib import Path
from flows.settings import Settings
from flows.checkout.workspace import running, workspace
root, home = Path(sys.argv[1]), Path(sys.argv[2])
home.mkdir(exist_ok=True)
settings = Settings(root, home, "", None)
with running(settings, "a"), workspace(settings, [], "a") as folder:
    print(folder, flush=True)
    sys.stdin.read()
"""


@pytest.mark.daily(situation="two homes in one checkout")
def test_a_second_home_uses_a_copy_and_gc_names_active_users(bare: Path, tmp_path: Path) -> None:
    first, second = tmp_path / "first home", settings_of(bare, tmp_path / "second")
    command = [sys.executable, "-c", HOLD, str(bare), str(first)]
    own = clean_environment() | {"PYTHONPATH": str(ROOT)}
    with subprocess.Popen(command, env=own, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as holder:
        assert holder.stdout is not None and holder.stdin is not None
        assert holder.stdout.readline().strip() == str(bare)
        with running(second, "a"), workspace(second, [], "a") as folder:
            assert folder == second.home / "workspaces" / "a"
        with pytest.raises(BusyError) as caught, exclusive(second):
            pass
        assert f"process {holder.pid}" in str(caught.value) and f"MTL_HOME={first}" in str(caught.value)
        assert "since 20" in str(caught.value)
        holder.stdin.close()
    with running(second, "a"), workspace(second, [], "a") as folder:
        assert folder == bare
    assert {first, second.home} <= set(homes(bare))


@pytest.mark.long
@pytest.mark.timeout(1800)
@pytest.mark.daily(situation="two homes in one checkout")
def test_two_homes_retrain_side_by_side(retrained: Path, tmp_path: Path) -> None:
    here = tmp_path / "here"
    shutil.copytree(retrained, here, symlinks=True)
    set_params(here / "params.yaml", "train.learning_rate=1e-3")
    commands = [sys.executable, "-m", "flows.cli", "retrain"]
    started: list[subprocess.Popen[str]] = []
    for name in ("a", "b"):
        own = clean_environment() | {"PYTHONPATH": str(here), "MTL_HOME": str(tmp_path / name)}
        log = (tmp_path / f"{name}.log").open("w")
        started.append(subprocess.Popen(commands, cwd=here, env=own, stdout=log, stderr=log, text=True))
    for name, process in zip(("a", "b"), started, strict=True):
        assert process.wait(1500) == 0, (tmp_path / f"{name}.log").read_text()[-3000:]
        found = json.loads(mtl(here, "status", "--json", MTL_HOME=str(tmp_path / name)).stdout)
        assert found["champion"]["version"] == 1


@pytest.fixture
def monorepo(bare: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The project in a sub-folder of a repository that holds others."""
    top = tmp_path_factory.mktemp("mono") / "mono repo"
    shutil.copytree(bare, top / "team" / "project", ignore=shutil.ignore_patterns(".git"))
    (top / "other").mkdir()
    (top / "other" / "a.py").write_text("a = 1\n")
    for words in (["init", "-q"], ["add", "-A"], ["commit", "-qm", "all"]):
        subprocess.run([*GIT, *words], cwd=top, check=True)
    return top / "team" / "project"


@pytest.mark.daily(situation="the project in a sub-folder of a repository that holds others")
def test_of_a_monorepo_only_the_project_counts(monorepo: Path, tmp_path: Path) -> None:
    other = monorepo.parents[1] / "other" / "a.py"
    other.write_text("a = 2\n")
    origin = read_origin(monorepo)
    assert not origin.dirty
    (monorepo / "params.yaml").write_text((monorepo / "params.yaml").read_text() + "# mine\n")
    assert read_origin(monorepo).dirty
    patch = difference(monorepo).patch
    assert b"# mine" in patch and b"a/params.yaml" in patch and b"a = 2" not in patch
    _checkout(monorepo, origin.commit, tmp_path / "restored")
    assert (tmp_path / "restored" / "params.yaml").exists() and not (tmp_path / "restored" / "team").exists()
    (tmp_path / "patch").write_bytes(patch)
    subprocess.run(["git", "apply", str(tmp_path / "patch")], cwd=tmp_path / "restored", check=True)
    assert (tmp_path / "restored" / "params.yaml").read_bytes() == (monorepo / "params.yaml").read_bytes()
    with workspace(settings_of(monorepo, tmp_path / "home"), ["train.epochs=2"], "run") as folder:
        assert (folder / "dvc.yaml").exists() and not (folder / "other").exists()


@pytest.mark.long
@pytest.mark.timeout(1800)
@pytest.mark.daily(situation="all of it at once: a whole retraining, and its reproduction")
def test_a_whole_retraining_in_hostile_surroundings(retrained: Path, tmp_path: Path) -> None:
    top = tmp_path / "ho st,1é#2%4"
    project = top / "project"
    leave = shutil.ignore_patterns(".git", ".mtl", "cache", "outputs", "dvc.lock")
    shutil.copytree(retrained, project, symlinks=True, ignore=leave)
    shutil.copytree(retrained / ".mtl" / "downloads", project / ".mtl" / "downloads")
    for words in (["init", "-q"], ["add", "-A"], ["commit", "-qm", "all"]):
        subprocess.run([*GIT, *words], cwd=top, check=True)
    around = {
        **dict.fromkeys(("http_proxy", "HTTP_PROXY", "https_proxy"), DEAD),
        "ALL_PROXY": "socks5://127.0.0.1:9",
        "RAY_ADDRESS": "127.0.0.1:9",
        "PREFECT_API_KEY": "pnu_left",
        "PREFECT_PROFILE": "another",
        "MLFLOW_REGISTRY_URI": DEAD,
        "MLFLOW_RUN_ID": "0123",
        "TMPDIR": "/nonexistent",
        "TERM": "dumb",
        "LC_ALL": "POSIX",
    }
    own = clean_environment() | {"PYTHONPATH": str(project)} | around
    own.pop("HOME", None)
    for words in (("retrain",), ("reproduce", "1")):
        line = f'umask 077; exec {sys.executable} -m flows.cli "$@" <&-'
        command = ["bash", "-c", line, "bash", *words]
        done = subprocess.run(command, cwd=project, env=own, capture_output=True, text=True, timeout=900, check=False)
        assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-3000:]
    assert "version 1: identical" in done.stdout


@pytest.mark.slow
@linux
@pytest.mark.daily(situation="MLflow's database killed under it, and started again")
def test_mlflow_answers_again_once_its_database_does(monkeypatch: pytest.MonkeyPatch) -> None:
    import mlflow

    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
    with ExitStack() as held:
        # Not pytest's own folder, which every other pytest that starts closes to Postgres' account.
        scratch = Path(held.enter_context(tempfile.TemporaryDirectory()))
        database = servers.postgres(scratch / "postgres")
        held.callback(database.stop)
        tracking = servers.mlflow_server(scratch / "mlflow", database.start().address)
        held.callback(tracking.stop)
        client = mlflow.MlflowClient(tracking.start().address)
        client.create_experiment("before")
        database.kill()
        with pytest.raises(mlflow.MlflowException):
            client.search_experiments()
        time.sleep(1)
        database.start()
        assert {one.name for one in client.search_experiments()} == {"Default", "before"}
