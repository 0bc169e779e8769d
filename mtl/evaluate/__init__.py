"""How good a model is, with what certainty."""
