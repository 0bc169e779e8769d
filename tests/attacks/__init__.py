"""Attacks that are tried for real; `make attacks` prints the table."""
