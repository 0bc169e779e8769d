"""From the tasks' losses to one objective."""
