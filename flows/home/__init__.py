"""The home page of a project, which `mtl ui` serves: what its registry, schedule and folders have, nothing of its own."""
