"""Distributed training. Only `launch` imports ray."""
