"""Methods beside each other, and tasks alone."""
