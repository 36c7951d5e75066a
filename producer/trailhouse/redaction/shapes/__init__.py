"""The shapes of vendors' secrets: one table, made of a module a kind of vendor."""

from trailhouse.redaction.shapes.shape import Shape, boundary_and_token
from trailhouse.redaction.shapes.table import SHAPES, SHAPES_BY_KIND

__all__ = ["SHAPES", "SHAPES_BY_KIND", "Shape", "boundary_and_token"]
