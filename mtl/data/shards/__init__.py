"""Samples as arrays of bytes in files that are memory-mapped, with a manifest of their hashes."""
