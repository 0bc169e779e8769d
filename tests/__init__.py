"""The tests. Shapes are checked, where that is asked for, from the first import of the library on."""

import os

from tests import shapes

if os.environ.get(shapes.CHECKED):
    shapes.install()
