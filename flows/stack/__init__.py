"""Real servers on this machine without containers: Postgres, an object store, MLflow, Prefect, a Ray cluster."""
