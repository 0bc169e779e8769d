"""Distributed training. Ray is imported by `launch`, by `group`, which is of its kind, and by the worker that it runs."""
