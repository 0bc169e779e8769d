"""Secrets are planted wherever people have them; then everything that is recorded, logged or printed is searched for them."""

from __future__ import annotations

import json
import logging
import os
import shutil
import stat
import subprocess
import sys
from pathlib import Path

import pytest
from prefect.logging.handlers import PrefectConsoleHandler

from flows.checkout.origin import read_origin
from flows.checkout.uncommitted import difference
from flows.checkout.workspace import workspace
from flows.registry.lineage import LEFT_OUT, PATCH, write_origin
from flows.registry.restore import restore_data
from flows.settings import Settings
from mtl.config import read_params
from mtl.config.params import load, parse
from mtl.errors import ConfigError, MtlError, RegistryError
from mtl.output.redaction import redact
from mtl.output.terminal import guard_log, plain
from mtl.registry.promotion import Promotions
from mtl.registry.registry import Registry
from mtl.registry.signing import own_keys
from mtl.registry.tracking import FINGERPRINT, Tracker, refuse_secrets
from mtl.reports import PackageReport
from tests.conftest import ROOT, clean_environment, mtl

KEY = "-----BEGIN PRIVATE KEY-----\nMC4CAQAwBQYDK2VwBCIEIPlantedPlantedPlantedPlanted0\n-----END PRIVATE KEY-----"
VALUES = {
    "AWS_SECRET_ACCESS_KEY": "wJalrPLANTED/K7MDENG+bPxRfiCYEXAMPLEKEY",
    "PREFECT_API_KEY": "pnu_PlantedPlantedPlantedPlanted0123",
    "PREFECT_API_AUTH_STRING": "mtl:planted-prefect-7",
    "MLFLOW_TRACKING_PASSWORD": "planted mlflow & 8",
    "MTL_WEBHOOK_URLS": "https://hooks.example.com/services/T0/planted9",
    "REPORT_DATABASE": "postgresql://mtl:planted%2Fdb10@db.example.com/reports",
    "RELEASE_SIGNING_KEY": KEY,
    "FSSPEC_HTTPS": '{"client_kwargs": {"headers": {"Authorization": "Basic cGxhbnRlZDpwbGFudGVk"}}}',
}
"""Eight in the environment."""
IN_FILES = {
    ".env": "DB=planted-env-1\n",  # tracked, and changed
    "deploy/.env.production": "DB=planted-env-2\n",
    "mtl/private.pem": KEY.replace("Planted", "plantedx"),
    "mtl/settings_of_mine.py": 'AWS = "AKIAPLANTED012345678"\n',
    "mtl/objective/losses.py": "# token = 'hf_plantedPlantedPlantedPlanted0123'\n",  # tracked, and changed
    ".dvc/config.local": "['remote \"team\"']\n    url = ssh://example.com/dvc\n    password = planted-dvc-3\n",
    "notes.txt": "the password is planted-notes-4\n",
}
"""Seven in the checkout; two more are in its git remote's URL and in the params."""
REMOTE = "https://planted-git-5@git.example.com/mtl.git"
PARAM = "s3://key:planted-param-6@bucket/photos"


def git(folder: Path, *words: str) -> None:
    subprocess.run(["git", "-c", "user.name=t", "-c", "user.email=t@example.com", *words], cwd=folder, check=True)


@pytest.fixture
def planted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A checkout with a secret in every place."""
    folder = tmp_path / "checkout"
    for name in ("params.yaml", "dvc.yaml", "requirements.lock", ".dvc/config"):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes((ROOT / name).read_bytes())
    (folder / "data").mkdir()
    (folder / "mtl" / "objective").mkdir(parents=True)
    (folder / "mtl" / "objective" / "losses.py").write_text("x = 1\n")
    (folder / ".env").write_text("DB=planted-env-0\n")
    git(folder, "init", "-q")
    git(folder, "add", "-A")
    git(folder, "commit", "-qm", "one")
    git(folder, "remote", "add", "origin", REMOTE)
    for name, text in IN_FILES.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(text)
    (folder / ".dvc" / "config.local").chmod(0o644)
    for name, value in VALUES.items():
        monkeypatch.setenv(name, value)
    return folder


def settings_of(folder: Path) -> Settings:
    home = folder.parent / "home"
    home.mkdir(exist_ok=True)
    return Settings(folder, home, f"sqlite:///{home}/mlflow.db", None)


def leaks(*places: Path | str) -> list[str]:
    """What of the secrets is found, and where. Each has `planted` in it, whatever the case."""
    found: list[str] = []
    for place in places:
        if isinstance(place, str):
            texts = [("text", place.encode())]
        else:
            texts = [(str(path), path.read_bytes()) for path in place.rglob("*") if path.is_file()]
        found += [
            f"{name}: …{t[max(0, i - 60) : i + 40]!r}" for name, t in texts if (i := t.lower().find(b"planted")) >= 0
        ]
    return found


@pytest.mark.attack(boundary="registry writer", attack="secrets read in what a run records")
def test_nothing_that_a_run_records_has_a_secret(planted: Path, tmp_path: Path, package: Path) -> None:
    settings, said = settings_of(planted), []
    tracker = Tracker(settings.mlflow_uri, "e", settings.artifacts)
    run = tracker.open_run("f" * 64, "run")
    everything = " ".join([*VALUES.values(), REMOTE, PARAM])
    tracker.log_params(run, {"note": everything, "more": {"a": [everything]}})
    (tmp_path / "origin").mkdir()
    origin = read_origin(planted)
    said += origin.lines()
    files = write_origin(origin, planted, tmp_path / "origin")
    tags = {FINGERPRINT: "f" * 64, "mtl.reason": redact(everything)}
    tracker.log_lineage(run, tags | {"mtl.note": everything}, files, "d" * 32, "raw")
    registry = Registry(settings.mlflow_uri, "model", settings.trust)
    private, _ = own_keys(settings.home / "keys")
    digest = PackageReport(weights_sha256="0" * 64, num_bytes=1, files={})
    version = registry.register(run, package, digest, tags, {}, private)
    entry = Promotions(registry.client, "model", registry.ledger).promote(version.number, None, why=everything)
    assert json.loads((tmp_path / "origin" / LEFT_OUT).read_text()).keys() >= IN_FILES.keys() - {".dvc/config.local"}
    database = "".join(path.read_bytes().decode("latin-1") for path in settings.home.glob("mlflow.db*"))
    assert database.count("<AWS_SECRET_ACCESS_KEY>") >= 5  # params, tags, the ledger
    assert leaks(settings.home / "mlartifacts", tmp_path / "origin", str(entry), str(said)) == []
    assert leaks(database) == []


@pytest.mark.attack(boundary="registry writer", attack="secrets in the patch of uncommitted code")
def test_the_patch_has_code_and_no_secrets(planted: Path) -> None:
    (planted / "mtl" / "objective" / "mine.py").write_text("y = 2\n")
    (planted / "mtl" / "objective" / "table.txt").write_text("z\n")
    (planted / "dvc.yaml").write_text((planted / "dvc.yaml").read_text() + "# changed\n")
    (planted / "mtl" / "link.py").symlink_to("/etc/hostname")
    found = difference(planted)
    assert leaks(found.patch.decode()) == []
    assert b"+y = 2" in found.patch
    assert b"+# changed" in found.patch
    assert set(found.untracked) == {"mtl/objective/mine.py", "mtl/objective/table.txt", "mtl/link.py"}
    assert "mtl/settings_of_mine.py" in found.left_out
    assert any(
        "not kept with the version: mtl/settings_of_mine.py (it holds a token)" in line for line in found.lines()
    )
    assert subprocess.run(["git", "diff", "--cached", "--quiet"], cwd=planted, check=False).returncode == 0  # the index


@pytest.mark.attack(boundary="registry writer", attack="a secret that was taken out of a file stands in its patch")
def test_what_was_taken_out_is_not_in_the_patch(planted: Path) -> None:
    losses = planted / "mtl" / "objective" / "losses.py"
    git(planted, "commit", "-qm", "oh no", "mtl/objective/losses.py")
    (planted / ".env").unlink()
    losses.write_text("x = 3\n")
    wide = planted / "mtl" / "wide.py"
    wide.write_bytes("KEY = 'AKIAPLANTED012345678'\n".encode("utf-16"))
    found = difference(planted)
    assert leaks(found.patch.replace(b"\0", b"").decode("latin-1")) == []
    assert {".env", "mtl/objective/losses.py", "mtl/wide.py"} <= found.left_out.keys()


def test_an_ordinary_patch_is_whole_and_applies(planted: Path, tmp_path: Path) -> None:
    for name in IN_FILES:
        git(planted, "checkout", "-q", "--", name) if name in (".env", "mtl/objective/losses.py") else (
            planted / name
        ).unlink()
    (planted / "mtl" / "objective" / "losses.py").write_text("x = 2\n")
    (planted / "mtl" / "new ü.py").write_text(
        "password = read_password(getpass.getuser())\nurl = f'http://{user}:{word}@h'\n"
    )
    found = difference(planted)
    assert found.left_out == {}
    clone = tmp_path / "clone"
    git(tmp_path, "clone", "-q", str(planted), str(clone))
    (tmp_path / PATCH).write_bytes(found.patch)
    git(clone, "apply", str(tmp_path / PATCH))
    for name in ("mtl/objective/losses.py", "mtl/new ü.py"):
        assert (clone / name).read_bytes() == (planted / name).read_bytes()


@pytest.mark.attack(boundary="registry writer", attack="credentials in the URL of a setting")
@pytest.mark.parametrize(
    ("url", "variable"),
    [
        (PARAM, "AWS_SECRET_ACCESS_KEY"),
        ("https://planted-token-1@example.com/photos.zip", "FSSPEC_HTTPS"),
        ("https://b.s3.amazonaws.com/photos.zip?X-Amz-Signature=planted", "FSSPEC_HTTPS"),
        ("https://u:planted/w@example.com/photos.zip", "FSSPEC_HTTPS"),
        ("abfs://account:planted@container/photos", "AZURE_STORAGE_CONNECTION_STRING"),
    ],
)
def test_settings_with_credentials_are_refused(url: str, variable: str) -> None:
    values = read_params(ROOT / "params.yaml")
    values["cluster"]["storage"] = url
    with pytest.raises(ConfigError, match=r"cluster\.storage: holds a (signed )?URL") as caught:
        parse(values)
    assert variable in str(caught.value)
    assert leaks(str(caught.value)) == []
    with pytest.raises(ConfigError) as caught:
        load(ROOT / "params.yaml", [f"cluster.storage={url}"])
    assert leaks(str(caught.value)) == []


@pytest.mark.attack(boundary="local user", attack="credentials on the command line and in what it answers")
def test_a_command_line_with_credentials_is_refused(planted: Path) -> None:
    for words in (
        ["retrain", "--set", f"cluster.storage={PARAM}"],
        ["predict", PARAM, "--out", "x"],
        ["backup", PARAM],
    ):
        done = subprocess.run(
            [sys.executable, "-m", "flows.cli", *words],
            cwd=planted,
            env=clean_environment() | {"PYTHONPATH": str(ROOT)},
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 2, done.stderr
        assert "AWS_SECRET_ACCESS_KEY" in done.stderr
        assert leaks(done.stdout + done.stderr) == []


@pytest.mark.attack(boundary="local user", attack="secrets in errors, tracebacks and logs")
def test_errors_and_logs_have_no_secret(
    planted: Path, caplog: pytest.LogCaptureFixture, capsys: pytest.CaptureFixture[str]
) -> None:
    everything = " | ".join(
        [*VALUES.values(), *KEY.splitlines(), "planted%20mlflow%20%26%208", "planted/db10", REMOTE, PARAM]
    )
    error = MtlError(f"it failed at {REMOTE}", found=everything, fix=f"look at {PARAM}")
    assert leaks(str(error), error.what, error.found, error.fix, error.line, json.dumps(error.args)) == []
    assert "<AWS_SECRET_ACCESS_KEY>" in str(error)
    assert redact("cGxhbnRlZDpwbGFudGVk") == "<FSSPEC_HTTPS>"
    before = logging.getLogRecordFactory()
    handler, logger = PrefectConsoleHandler(), logging.getLogger("attack")
    logger.addHandler(handler)
    try:
        guard_log()
        logger.warning("cannot open %s", everything)
        try:
            raise ValueError(everything)
        except ValueError:
            logger.exception("oh")
    finally:
        logger.removeHandler(handler)
        logging.setLogRecordFactory(before)
    said = capsys.readouterr()
    texts = [record.getMessage() + (record.exc_text or "") for record in caplog.records]
    assert len(texts) == 2
    assert leaks(*texts, said.out, said.err) == []


@pytest.mark.attack(boundary="local user", attack="a copy of config.local that others can read")
def test_copies_of_config_local_are_the_owners_alone(planted: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    old = os.umask(0o022)
    try:
        settings = settings_of(planted)
        with workspace(settings, ["train.epochs=1"], "run") as folder:
            assert stat.S_IMODE((folder / ".dvc" / "config.local").stat().st_mode) == 0o600
        copy = planted.parent / "copy"
        (copy / ".dvc").mkdir(parents=True)
        (copy / "dvc.lock").write_text("stages: {fetch: {outs: []}}\n")
        monkeypatch.setattr("flows.registry.restore.remotes", lambda root: {})
        monkeypatch.setattr("flows.registry.restore.dvc", lambda *words: "")
        restore_data(settings, copy)
        assert stat.S_IMODE((copy / ".dvc" / "config.local").stat().st_mode) == 0o600
    finally:
        os.umask(old)


@pytest.mark.attack(boundary="registry writer", attack="a secret in the lock or the graph that a version keeps")
def test_a_lock_with_a_password_is_not_kept(tmp_path: Path) -> None:
    lock = tmp_path / "requirements.lock"
    lock.write_text("--index-url https://me:planted-index@pypi.example.com/simple\nnumpy==2\n")
    with pytest.raises(RegistryError, match=r"requirements\.lock would be kept") as caught:
        refuse_secrets([lock])
    assert leaks(str(caught.value)) == []


def test_what_is_no_secret_stays(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("MTL_SIGNING_KEY", str(own_keys(tmp_path)[0]))
    monkeypatch.setenv("SOME_TOKEN", "yes")
    monkeypatch.setenv("S3_ACCESS_KEY", "minio1")
    for text in (
        f"cannot read {own_keys(tmp_path)[0]}: yes, minio12 is down",
        "http://127.0.0.1:5000/x@y, ssh://git@github.com/a/b, s3://bucket/a@b:c/d, abfs://photos@account.dfs.core.windows.net",
        "sha256 " + "0a" * 32,
        "check RAY_AUTH_TOKEN: the cluster refuses; 12 tokens: 3",
        "postgresql://mtl:${POSTGRES_PASSWORD}@postgres/mlflow",
    ):
        assert redact(text) == text
    assert redact("minio1:x") == "<S3_ACCESS_KEY>:x"
    assert plain("a\tb\nc\x1b[31m\x07\u202e") == "a\tb\nc\\x1b[31m\\x07\\u202e"


@pytest.mark.slow
@pytest.mark.attack(boundary="registry writer", attack="secrets in what a whole retraining leaves")
def test_a_retraining_leaves_no_secret(checkout: Path, tmp_path: Path) -> None:
    """The real flow with Prefect's embedded server and MLflow, and what it leaves in its home and its outputs."""
    given, checkout = checkout, tmp_path / "checkout"  # which would remember the other home
    shutil.copytree(given, checkout, symlinks=True, ignore=shutil.ignore_patterns(".mtl"))
    home, own = tmp_path / "home", {name: value for name, value in VALUES.items() if not name.startswith("PREFECT_")}
    texts = {".env": IN_FILES[".env"], "private.pem": IN_FILES["mtl/private.pem"], "notes.txt": IN_FILES["notes.txt"]}
    for name, text in texts.items():
        (checkout / name).write_text(text)
    git(checkout, "remote", "add", "planted", REMOTE)
    home.mkdir()
    if (given / ".mtl" / "downloads").exists():
        (home / "downloads").symlink_to(given / ".mtl" / "downloads")
    try:
        own["SMTP_PASSWORD"] = "planted-1"  # as short as this it could be a word on the command line
        reason = f"asked by {own['SMTP_PASSWORD']}"
        done = mtl(checkout, "retrain", "--set", "train.epochs=1", "--reason", reason, MTL_HOME=str(home), **own)
        assert done.returncode == 0, done.stderr[-3000:]
        assert "notes.txt" in done.stdout + done.stderr
        assert leaks(done.stdout, done.stderr, home, checkout / "outputs") == []
    finally:
        for name in texts:
            (checkout / name).unlink()
        git(checkout, "remote", "remove", "planted")
