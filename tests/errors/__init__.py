"""What a newcomer does wrong first, tried with the real command: each ends in what, what was found, how to mend it, and an exit code."""
