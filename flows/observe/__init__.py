"""What a person or another system is told of runs."""
