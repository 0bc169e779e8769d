"""Multi-task retraining: the library and its stages. Never imports prefect or flows."""
