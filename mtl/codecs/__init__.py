"""Encoded images: what they say of themselves, and the numbers that they hold."""
