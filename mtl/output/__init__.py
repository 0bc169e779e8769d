"""What leaves a process: text without secrets, and nothing that a terminal obeys."""
