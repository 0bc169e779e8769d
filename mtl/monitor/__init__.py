"""Production images against those that a model was made with: what has shifted, and is it chance?"""
