"""When, where, retry, gate, promotion, notification: Prefect. Never imports torch or ray."""
