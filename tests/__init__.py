"""The tests. Shapes are checked from the first import of the library on."""

from tests import shapes

shapes.install()
