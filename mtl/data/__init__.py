"""From what users bring to the batches that training reads."""
