"""The raw data set: its rows, its splits and the listings of what lies elsewhere."""
