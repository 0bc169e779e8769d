"""The wrong turns: what a user sees is what docs/how-to/errors.md lists."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import zipfile
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from filelock import FileLock
from PIL import Image

Prepare = Callable[[Path], object]
"""Spoils a checkout; what it returns is held while the command runs."""
MINE = "data/mine"
INIT = ("data", "init", MINE, "--yes")
NOWHERE = "http://127.0.0.1:9"
"""Nobody listens there."""


def nothing(folder: Path) -> None:
    """Nothing is wrong with the checkout."""


@dataclass(frozen=True)
class Turn:
    """One wrong turn."""

    sees: str
    """Of the error's first line; as the documentation has it, where … stands for what differs."""
    words: tuple[str, ...]
    found: str
    fix: str
    prepare: Prepare = nothing
    where: str = "."
    environment: dict[str, str] = field(default_factory=dict)
    slow: bool = False


def edit(old: str, new: str) -> Prepare:
    """In params.yaml."""

    def change(folder: Path) -> None:
        path = folder / "params.yaml"
        text = path.read_text()
        assert old in text
        path.write_text(text.replace(old, new, 1))

    return change


def append(data: bytes) -> Prepare:
    """To params.yaml."""

    def change(folder: Path) -> None:
        with (folder / "params.yaml").open("ab") as file:
            file.write(data)

    return change


def write(name: str, text: str) -> Prepare:
    """A file."""

    def change(folder: Path) -> None:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(text)

    return change


def images(*names: str) -> Prepare:
    """Pictures below data/mine, none like another."""

    def make(folder: Path) -> None:
        for number, name in enumerate(names):
            path = folder / MINE / name
            path.parent.mkdir(parents=True, exist_ok=True)
            pixels = np.random.default_rng(number).integers(0, 255, (24, 24, 3), dtype=np.uint8)
            Image.fromarray(pixels).save(path)

    return make


def table(text: str, *more: Prepare) -> Prepare:
    """A labels.csv beside what else is made."""

    def make(folder: Path) -> None:
        for one in more:
            one(folder)
        write(f"{MINE}/labels.csv", text)(folder)

    return make


def no_repository(folder: Path) -> None:
    """The folder was downloaded, not cloned."""
    shutil.rmtree(folder / ".git")


def listening(folder: Path) -> socket.socket:
    """Somebody listens on the port that `port` names."""
    held = socket.socket()
    held.bind(("127.0.0.1", 0))
    held.listen()
    (folder / "port").write_text(str(held.getsockname()[1]))
    return held


def run_going(folder: Path) -> object:
    """Another run has begun."""
    (folder / ".mtl" / "locks").mkdir(parents=True)
    return FileLock(folder / ".mtl" / "locks" / "gate.lock").acquire()


def open_password(folder: Path) -> None:
    """Others may read the password of the embedded servers."""
    write(".mtl/password", "secret")(folder)
    (folder / ".mtl" / "password").chmod(0o644)


def broken_zip(folder: Path) -> None:
    """A download that was cut off."""
    (folder / "data").mkdir()
    with zipfile.ZipFile(folder / "data" / "mine.zip", "w") as file:
        file.writestr("cat/a.png", os.urandom(5000))
    data = (folder / "data" / "mine.zip").read_bytes()
    (folder / "data" / "mine.zip").write_bytes(data[:1000])


def commitless(folder: Path) -> None:
    """git init, and nothing more."""
    shutil.rmtree(folder / ".git")
    subprocess.run(["git", "init", "-q"], cwd=folder, check=True)


NO_PROGRAMS = {"PATH": "/nonexistent"}
CLASSES = tuple(f"{kind}/{kind}{number}.png" for kind in ("cat", "dog") for number in range(6))
FLAT = tuple(f"images/a{number}.png" for number in range(8))
ROWS = "".join(f"a{n}.png,{'cat' if n % 2 else 'dog'}\n" for n in range(8))

COMMAND = (
    Turn("No such command", ("retrian",), "mtl retrian", "did you mean 'retrain'?"),
    Turn("No such command", ("data", "chek"), "mtl data chek", "did you mean 'check'?"),
    Turn("No such option", ("retrain", "--sett", "a=b"), "mtl retrain --sett", "mtl retrain --help"),
    Turn("Missing argument", ("promote",), "mtl promote", "mtl promote --help"),
    Turn("Invalid value", ("promote", "first"), "mtl promote first", "mtl promote --help"),
    Turn("Invalid value", ("endpoint", "--port", "99999"), "99999", "mtl endpoint --help"),
    Turn("Invalid value", ("compare", "--rates", "fast"), "fast", "mtl compare --help"),
    Turn("--weightings: unknown", ("compare", "--weightings", "fixd"), "fixd", "did you mean fixed?"),
    Turn(
        "--format: unknown", ("predict", "x.png", "--out", "o", "--format", "parket"), "parket", "did you mean parquet?"
    ),
    Turn("--html names a folder", ("history", "--html", "."), ".", "--html page.html"),
    Turn("--set …: no key", ("retrain", "--set", "trian.epochs=2"), "keys here", "did you mean 'train'?"),
    Turn("--set …", ("retrain", "--set", "train.epochs"), "no '='", "--set train.epochs=2"),
    Turn("… is missing", ("retrain", "--set", "@nowhere.yaml"), "no such file", "correct the path"),
    Turn("params.yaml has", ("retrain", "--set", "train.epochs=many"), "valid integer", "docs/params.md"),
)
PLACE = (
    Turn("this is not the root of a project", ("status",), "no params.yaml", "cd /", where="data/deep"),
    Turn("… is no git checkout", ("retrain",), "not a git repository", "git clone", no_repository),
    Turn("git is not installed", ("retrain",), "No such file", "install it", environment=NO_PROGRAMS),
    Turn("git does not trust", ("retrain",), "dubious ownership", "safe.directory",
         environment={"GIT_TEST_ASSUME_DIFFERENT_OWNER": "1", "HOME": "/nonexistent"}),
    Turn("cannot write to …", ("status",), "exists", "MTL_HOME", write("file", ""), environment={"MTL_HOME": "file"}),
    Turn("cannot write to …", ("status",), "Not a directory", "MTL_HOME", write("file", ""), environment={"MTL_HOME": "file/home"}),
    Turn("the path of MTL_HOME has a", ("status",), "what?", "elsewhere", environment={"MTL_HOME": "what?"}),
    Turn("the password of the embedded servers may be known to others", ("status",), "mode 644", "delete it", open_password),
    Turn("another retraining is running in this checkout", ("clean", "--yes"), "gate.lock", "wait for it", run_going),
    Turn("port …, wanted for …, is busy", ("ui", "--mlflow-port", "@port"), "in use", "--mlflow-port", listening),
)  # fmt: skip
PARAMS = (
    Turn("params.yaml has", ("retrain",), "did you mean 'epochs'?", "docs/params.md", edit("  epochs:", "  epoch:")),
    Turn("params.yaml has", ("retrain",), "valid integer, found 'two'", "mtl list", edit("num_workers: auto", "num_workers: two")),
    Turn("params.yaml has", ("retrain",), "greater than or equal to 1", "mtl list", edit("num_workers: auto", "num_workers: 0")),
    Turn("params.yaml has", ("retrain",), "did you mean 'train'?", "mtl list", edit("\ntrain:", "\ntrian:")),
    Turn("params.yaml has", ("retrain",), "did you mean 'fixed'?", "mtl list", edit("type: fixed", "type: fixd")),
    Turn("params.yaml has", ("retrain",), "Europe/London", "mtl list", edit("Europe/London", "Europe/Londn")),
    Turn("… is not valid YAML", ("status",), "a tab in line", "spaces", edit("train:\n", "train:\n\tlr: 1\n")),
    Turn("… is not valid YAML", ("status",), "duplicate key", "delete one", append(b"\nseed: 1\n")),
    Turn("… is not valid YAML", ("status",), "a merge that was not finished", "keep one side",
         append(b"\n<<<<<<< HEAD\na: 1\n=======\na: 2\n>>>>>>> theirs\n")),
    Turn("… is not UTF-8", ("status",), "0xe9", "save it as UTF-8", append(b"# caf\xe9\n")),
    Turn("… must hold sections with keys", ("status",), "it is empty", "git checkout", write("params.yaml", "")),
)  # fmt: skip
REGISTRY = (
    Turn("no version of … was registered yet", ("predict", "x.png", "--out", "o"), "no registry", "mtl retrain"),
    Turn("no version of … was registered yet", ("rollback",), "no registry", "mtl retrain"),
    Turn("no version of … was registered yet", ("promote", "7"), "no registry", "mtl retrain"),
    Turn("no version of … was registered yet", ("lineage", "7"), "no registry", "mtl retrain"),
    Turn("no version of … was registered yet", ("endpoint",), "no registry", "mtl retrain"),
    Turn("a promotion against the gate needs a reason", ("promote", "7", "--override"), "--override", "--why"),
    Turn("no version of … was registered yet", ("reproduce", "7"), "no registry", "mtl retrain"),
    Turn("MLFLOW_TRACKING_URI is no address", ("status",), "127.0.0.1:5000", "http://", environment={"MLFLOW_TRACKING_URI": "127.0.0.1:5000"}),
    Turn("PREFECT_API_URL is no address", ("status",), "localhost:4200", "/api", environment={"PREFECT_API_URL": "localhost:4200"}),
    Turn("MLflow at … refused or is out of reach", ("history",), "nobody answers", "MLFLOW_TRACKING_URI",
         environment={"MLFLOW_TRACKING_URI": NOWHERE, "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "0"}, slow=True),
    Turn("the Prefect server at … is out of reach", ("retrain",), "refused", "PREFECT_API_URL",
         environment={"PREFECT_API_URL": f"{NOWHERE}/api", "PREFECT_CLIENT_MAX_RETRIES": "0"}, slow=True),
)  # fmt: skip
DATA = (
    Turn("… is not there", INIT, "looked for", "correct the path"),
    Turn("… is not there", ("data", "init", "C:\\Users\\me\\photos", "--yes"), "looked for", "correct the path"),
    Turn("… holds no files", INIT, "it is empty", "put the data there", lambda folder: (folder / MINE).mkdir(parents=True)),
    Turn("… has no images", INIT, "1 .txt", "a folder with images", write(f"{MINE}/notes.txt", "x")),
    Turn("… is in no format that is known", INIT, "6 .png", "a folder for each class", images(*(f"{n}.png" for n in range(6)))),
    Turn("… is in no format that is known", INIT, "6 .png", "two at least", images(*CLASSES[:6])),
    Turn("… looks like …, and cannot be used as it is", INIT, "too few images", "mend it", images("cat/a.png", "dog/b.png")),
    Turn("… looks like …, and cannot be used as it is", INIT, "none is there", "mend it", table(f"image,label\n{ROWS}")),
    Turn("… looks like …, and cannot be used as it is", INIT, "no column names images", "mend it",
         table(f"image,label\n{ROWS}".replace(",", "#"), images(*FLAT))),
    Turn("… is neither a folder nor an archive", INIT, "a file of another kind", ".zip", write(MINE, "x")),
    Turn("… cannot be opened", ("data", "init", "data/mine.zip", "--yes"), "BadZipFile", "check the path", broken_zip),
    Turn("… is not there", ("monitor",), "looked for", "monitor.path"),
)  # fmt: skip
TURNS = (*COMMAND, *PLACE, *PARAMS, *REGISTRY, *DATA)

ELSEWHERE = {
    "a disk is full": "tests/daily/test_machines.py::test_a_disk_that_takes_nothing_is_named",
    "the disk of … is nearly full": "tests/daily/test_checks.py::test_everything_at_once",
    "there is no DVC remote to push to": "tests/daily/test_checks.py::test_remotes",
    "the DVC remote … cannot be written to": "tests/daily/test_checks.py::test_remotes",
    "… things are missing, and nothing was begun": "tests/daily/test_checks.py::test_everything_at_once",
    "nothing can be signed": "tests/daily/test_checks.py::test_backup",
    "DVC's settings in … cannot be used": "tests/daily/test_checks.py::test_files_of_dvc",
    "…addresses are of another place": "tests/daily/test_versions.py::test_a_moved_checkout_is_said_at_once_and_mended",
    "MLflow's database at … refused or is out of reach": "tests/errors/test_servers.py::test_a_wrong_password_of_postgres_ends_in_what_found_and_fix",
    "the Prefect server that this command embeds does not start": "tests/errors/test_servers.py::test_retrain_without_its_server_ends_in_what_found_and_fix",
    "what answers at … is no Prefect server": "tests/errors/test_servers.py::test_prefect_says_what_is_wrong_with_its_address",
    "no Ray cluster answers at": "tests/errors/test_doctor.py::test_services",
    "the Prefect server at … refuses": "tests/errors/test_servers.py::test_prefect_says_what_is_wrong_with_its_address",
    "no answer: nothing was changed": "tests/errors/test_wrong_turns.py::test_nobody_at_the_keyboard_changes_nothing",
}
"""What is seen of wrong turns that have a test of their own → where."""
