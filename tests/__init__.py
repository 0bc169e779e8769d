"""The tests. Shapes are checked from the first import of the library on, in their own process."""

import multiprocessing

from tests import shapes

if multiprocessing.parent_process() is None:
    shapes.install()
