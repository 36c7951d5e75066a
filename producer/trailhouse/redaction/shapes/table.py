"""SHAPES, the whole table: what is looked for in every text, kind by kind."""

from trailhouse.redaction.shapes.ai import AI
from trailhouse.redaction.shapes.shape import Shape

SHAPES: tuple[Shape, ...] = (*AI,)
