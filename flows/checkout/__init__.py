"""The checkout that a run works in: git, DVC, and what killed runs left there."""
