"""When and where runs start."""
