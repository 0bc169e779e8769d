"""Projects of a user's own: made from the template in the wheel, and brought up to later ones."""
