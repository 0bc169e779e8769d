"""A look at data before anybody trains on it."""
