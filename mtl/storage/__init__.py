"""Bytes by name: folders, buckets and archives, their hashes, seals and addresses."""
