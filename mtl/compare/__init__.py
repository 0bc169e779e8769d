"""Honest comparison of multi-task methods: the same budget, the same grid, selection on validation alone."""
