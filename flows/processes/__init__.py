"""Servers and processes that are kept alive."""
