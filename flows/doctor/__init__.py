"""`mtl doctor`: what a run needs of this machine, looked at without beginning anything."""
