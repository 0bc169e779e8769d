"""Secrets in what leaves this process: a text that is printed, logged or recorded names them, and does not hold them.

Known are the values of variables whose names say what they are (AWS_SECRET_ACCESS_KEY, MLFLOW_TRACKING_PASSWORD …), and what
shows by its form: a user or a password in a URL, the signature of a signed one, a private key, tokens of well-known services.
"""

from __future__ import annotations

import base64
import json
import os
import re
from collections.abc import Iterator, Mapping
from functools import lru_cache
from pathlib import Path
from typing import Any
from urllib.parse import quote, unquote

HIDDEN = "***"
SECRET_NAMES = re.compile(
    r"KEY|SECRET|TOKEN|PASSWORD|PASSWD|PASSPHRASE|CREDENTIAL|AUTH_STRING|COOKIE|CONNECTION_STRING|WEBHOOK|APPRISE|FSSPEC",
    re.I,
)
"""Of variables; what is public or a setting by its name is none."""
NO_SECRET_NAMES = re.compile(r"PUBLIC|_MODE$|_TTL$|_TIMEOUT|_ENABLED$", re.I)
WORDS = ("true", "false", "disabled", "enabled", "default", "required", "optional")
SHORTEST, SURE = 6, 12
"""Characters of a value that is hidden; and of one that can be nothing else, wherever it stands."""

CREDENTIAL_FILES = tuple(
    """
    .env .env.* *.env .envrc config.local .netrc _netrc .pgpass .pypirc .npmrc .htpasswd .git-credentials .dockercfg
    .dockerconfigjson kubeconfig* *.tfvars *.tfstate *.kdbx .s3cfg .boto rclone.conf *.pem *.key *.p12 *.pfx *.jks *.keystore
    *.ppk *.gpg *.asc id_rsa* id_ecdsa* id_ed25519* *credential* *secret* *passwd* *password* service?account* *.token token
    """.split()  # noqa: SIM905 - it is read more easily
)
"""Names of files that are for credentials; of Python it is what stands in a file that counts."""

_URL = re.compile(
    r"(?P<scheme>[A-Za-z][A-Za-z0-9+.-]*)://(?!\*\*\*@)(?P<user>[^\s/?#@:\"<>\\\[]*)"
    r"(?P<password>:(?!\d{1,5}(?:[/?#\s]|$))[^\s\"<>]*)?@"
)
_NAMES_ONLY = re.compile(
    r"(?:.*ssh|sftp|scp|rsync|hdfs|abfss?|wasbs?|(?:postgres|mysql|mongodb|mariadb)\w*(?:\+\w+)*)", re.I
)
"""Schemes in which what stands before @ without a colon is an account or a container, and no secret."""
_FILLED_IN = re.compile(r":?(?:\$\w+|\$?\{[^}]*\}|%\(\w+\)s|\$\{\w+[^}]*\})*")
"""What stands for a password that a program puts there."""
_SIGNED = re.compile(
    r"(?P<name>[?&;](?:[\w.%-]*(?:token|secret|passw|signature|credential|api_?key|access_?key|auth)[\w.%-]*|sig|key)=)"
    r"(?!\*\*\*)[^&\s#'\"<>]+",
    re.I,
)
_PEM = re.compile(r"-----BEGIN (?:[A-Z0-9]+ )*PRIVATE KEY(?: BLOCK)?-----.*?(?:-----END [A-Z0-9 ]+-----|\Z)", re.S)
_TOKEN = re.compile(
    r"(?<![A-Za-z0-9])(?:(?:AKIA|ASIA)[A-Z0-9]{16}|gh[oprsu]_[A-Za-z0-9]{30,}|github_pat_\w{30,}|glpat-[\w-]{20,}|"
    r"hf_[A-Za-z0-9]{30,}|sk-[\w-]{20,}|xox[abeoprs]-[\w-]{10,}|pn[ub]_[A-Za-z0-9]{20,}|whsec_[\w+/=-]{16,}|AIza[\w-]{35}|"
    r"pypi-[\w-]{30,}|eyJ[\w-]{10,}\.eyJ[\w-]{10,}\.[\w-]{10,})"
)
_HEADER = re.compile(
    r"(?P<name>authorization[\"']?\s*[:=]\s*[\"']?(?:(?:basic|bearer|token)\s+)?+)(?!\*\*\*)[^\s\"',]{6,}", re.I
)
_ASSIGNED = re.compile(
    r"(?P<name>(?:password|passwd|passphrase|secret|token|api_?key|access_?key|credential)\w*[\"']?\s*[:=]\s*[\"']?)"
    r"(?=[\w/+=.-]*\d)(?=[\w/+=.-]*[A-Za-z])[\w/+=.-]{12,}(?=[\"'\s,;}\])]|$)",
    re.I,
)


def redact(text: str) -> str:
    """The text with every secret in it replaced by what it is: `<VARIABLE>` for a variable's value, else `***`."""
    known, names = _known()
    text = _PEM.sub("<private key>", text)
    if known is not None:
        text = known.sub(lambda found: f"<{names[found[0]]}>", text)
    if "://" in text:
        text = _URL.sub(_without_user, text)
    text = _SIGNED.sub(_named, text)
    text = _TOKEN.sub(HIDDEN, text)
    return _ASSIGNED.sub(_named, _HEADER.sub(_named, text))


def redacted(tree: Any) -> Any:
    """A tree of plain values, with its texts (keys too) redacted."""
    if isinstance(tree, str):
        return redact(tree)
    if isinstance(tree, Mapping):
        return {redacted(key): redacted(value) for key, value in tree.items()}
    if isinstance(tree, list | tuple):
        return [redacted(item) for item in tree]
    return tree


def secret_in(text: str) -> str | None:
    """What secret a text that should have none holds, in words; None: none that is known by its form or from the environment.
    What only looks like the setting of a password is one too where it stands in a file: see `secret_in_file`.
    """
    if "://" in text and any(_without_user(found) != found[0] for found in _URL.finditer(text)):
        return "a URL with a user or a password"
    for what, pattern in (("a signed URL", _SIGNED), ("a private key", _PEM), ("a token", _TOKEN)):
        if pattern.search(text):
            return what
    known, names = _known()
    found = next((one[0] for one in known.finditer(text) if len(one[0]) >= SURE), None) if known else None
    return f"the value of {names[found]}" if found else None


def secret_in_file(content: bytes) -> str | None:
    """What secret a file holds, in words. Bytes are read as Latin-1, and as UTF-16 by leaving out zeros."""
    text = content.replace(b"\0", b"").decode("latin-1")
    if found := secret_in(text) or secret_in(content.decode("utf-8", errors="replace")):
        return found
    return "a password or a token" if _ASSIGNED.search(text) or _HEADER.search(text) else None


def _named(found: re.Match[str]) -> str:
    return f"{found['name']}{HIDDEN}"


def _without_user(found: re.Match[str]) -> str:
    """A URL's beginning without what stands before @; as it is where that is no secret."""
    user, password = found["user"], found["password"] or ""
    no_user = _FILLED_IN.fullmatch(user) or password or _NAMES_ONLY.fullmatch(found["scheme"])
    if no_user and _FILLED_IN.fullmatch(password):
        return found[0]
    return f"{found['scheme']}://{HIDDEN}@"


def _known() -> tuple[re.Pattern[str] | None, dict[str, str]]:
    """What matches the values of this process's secret variables now, and value → its variable."""
    while True:
        try:
            return _compiled(tuple(getattr(os, "environb", os.environ).items()))  # as bytes: three times as fast
        except (KeyError, RuntimeError):  # another thread (MLflow's, Prefect's) has just changed it
            continue


@lru_cache(maxsize=4)
def _compiled(items: tuple[tuple[Any, Any], ...]) -> tuple[re.Pattern[str] | None, dict[str, str]]:
    names: dict[str, str] = {}
    for name, value in ((os.fsdecode(name), os.fsdecode(value)) for name, value in items):
        for part in _parts(name, value):
            if len(part) >= SHORTEST and part.lower() not in WORDS:
                for written in _ways_to_write(part):
                    names.setdefault(written, name)
    if not names:
        return None, {}
    wanted = sorted(names, key=len, reverse=True)
    return re.compile("|".join(map(_whole_word, wanted))), names


def _whole_word(value: str) -> str:
    """A short value is found where it stands alone only: it may be a part of other words."""
    escaped = re.escape(value)
    return escaped if len(value) >= SURE else rf"(?<![A-Za-z0-9]){escaped}(?![A-Za-z0-9])"


def _parts(name: str, value: str) -> Iterator[str]:
    """What of a variable is secret. A file's path is none: errors name it."""
    value = value.strip()
    if found := _URL.search(value):
        yield from {(found["password"] or "")[1:], unquote((found["password"] or "")[1:])}
    if not SECRET_NAMES.search(name) or NO_SECRET_NAMES.search(name) or _is_file(value):
        return
    yield from value.split() if re.search("WEBHOOK|APPRISE", name, re.I) else [value]
    if name.upper().endswith("AUTH_STRING"):  # user:password
        yield value.partition(":")[2]
    if value.startswith("{"):
        yield from _leaves(value)
    lines = value.splitlines()
    if len(lines) > 1:  # a key, which is printed line by line
        yield from (line for line in lines if len(line) >= SURE and not line.startswith("-----"))


def _leaves(document: str) -> Iterator[str]:
    """What of a JSON document is secret by its key; of a header also what stands behind its scheme."""
    found: list[str] = []

    def look(pairs: list[tuple[str, Any]]) -> None:
        for key, item in pairs:
            if isinstance(item, str) and (SECRET_NAMES.search(key) or key.lower() == "authorization"):
                found.extend([item, item.rpartition(" ")[2], *item.splitlines()])

    try:
        json.loads(document, object_pairs_hook=look)
    except ValueError:
        return
    yield from (part for part in found if len(part) >= SURE and not part.startswith("-----"))


def _is_file(value: str) -> bool:
    try:
        return value.startswith(("/", "~", ".")) and all(Path(p).expanduser().exists() for p in value.split(os.pathsep))
    except (OSError, RuntimeError, ValueError):
        return False


def _ways_to_write(value: str) -> set[str]:
    """A value as it is, in URLs, in JSON, and in base64."""
    encoded = base64.b64encode(value.encode(errors="surrogateescape")).decode()
    return {value, quote(value, safe="", errors="surrogateescape"), json.dumps(value)[1:-1], encoded}
