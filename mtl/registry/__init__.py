"""Versions, runs, aliases and the signed chain of champions: believed only as far as they are signed."""
