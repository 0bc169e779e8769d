"""One retraining: stages → register → gate → promote; and the look at production that may ask for one."""
