"""MLflow's account `mtl`, which the flows use: it is no admin, and owns what it makes.

`python -m flows.stack.accounts COMMAND …` makes it in MLflow's own table of accounts, then becomes the command (`mlflow server …`).
Environment: MLFLOW_AUTH_CONFIG_PATH, MLFLOW_BACKEND_STORE_URI, MLFLOW_AUTH_ADMIN_PASSWORD, and MTL_MLFLOW_PASSWORD, the account's.
"""

from __future__ import annotations

import configparser
import os
import sys
from collections.abc import Mapping
from pathlib import Path

from flows.stack.passwords import refuse_weak
from mtl.errors import MtlError

ACCOUNT = "mtl"
PASSWORD = "MTL_MLFLOW_PASSWORD"
ADMIN_PASSWORD = "MLFLOW_AUTH_ADMIN_PASSWORD"


def prepare(environment: Mapping[str, str]) -> bool:
    """Make the account, or give it the password of the environment; whether it is new.

    A new one may do everything with what is there already: before it was made, the flows came as admin.

    Raises:
        MtlError: a variable is missing, or a password is no secret.
    """
    names = ("MLFLOW_AUTH_CONFIG_PATH", "MLFLOW_BACKEND_STORE_URI", ADMIN_PASSWORD, PASSWORD)
    if missing := [name for name in names if not environment.get(name)]:
        raise MtlError("MLflow's accounts cannot be made", found=f"{', '.join(missing)} not set", fix="set it")
    refuse_weak({name: environment[name] for name in (ADMIN_PASSWORD, PASSWORD)})
    settings = configparser.ConfigParser(interpolation=None)
    settings.read_string(Path(environment["MLFLOW_AUTH_CONFIG_PATH"]).read_text(encoding="utf-8"))
    return _make(settings["mlflow"]["database_uri"], environment["MLFLOW_BACKEND_STORE_URI"], environment[PASSWORD])


def _make(accounts_uri: str, backend_uri: str, password: str) -> bool:
    from mlflow.server.auth.sqlalchemy_store import SqlAlchemyStore

    accounts = SqlAlchemyStore()
    accounts.init_db(accounts_uri)
    if accounts.has_user(ACCOUNT):
        if not accounts.authenticate_user(ACCOUNT, password):
            accounts.update_user(ACCOUNT, password=password)
        return False
    experiments, models = _present(backend_uri)
    accounts.create_user(ACCOUNT, password)
    for experiment in experiments:
        accounts.create_experiment_permission(experiment, ACCOUNT, "MANAGE")
    for model in models:
        accounts.create_registered_model_permission(model, ACCOUNT, "MANAGE")
    return True


def _present(backend_uri: str) -> tuple[list[str], list[str]]:
    """Ids of experiments and names of registered models; none in a database that MLflow has not seen yet."""
    import sqlalchemy

    engine = sqlalchemy.create_engine(backend_uri)
    try:
        tables = set(sqlalchemy.inspect(engine).get_table_names())
        with engine.connect() as link:
            found = [
                [str(row[0]) for row in link.execute(sqlalchemy.text(f"select {column} from {table}"))]
                if table in tables
                else []
                for table, column in (("experiments", "experiment_id"), ("registered_models", "name"))
            ]
    finally:
        engine.dispose()
    return found[0], found[1]


if __name__ == "__main__":
    try:
        print(f"account {ACCOUNT}: {'made' if prepare(os.environ) else 'there'}", flush=True)
    except MtlError as error:
        sys.exit(f"error: {error}")
    os.environ.pop(PASSWORD)
    os.execvp(sys.argv[1], sys.argv[1:])
