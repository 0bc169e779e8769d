"""From a folder that nobody described to sections of params.yaml. Nothing of it is part of a training."""
