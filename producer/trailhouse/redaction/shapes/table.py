"""SHAPES, the whole table: what is looked for in every text, kind by kind."""

from trailhouse.redaction.shapes.ai import AI
from trailhouse.redaction.shapes.cloud import CLOUD
from trailhouse.redaction.shapes.code_hosting import CODE_HOSTING
from trailhouse.redaction.shapes.databases import DATABASES
from trailhouse.redaction.shapes.messaging import MESSAGING
from trailhouse.redaction.shapes.observability import OBSERVABILITY
from trailhouse.redaction.shapes.payments import PAYMENTS
from trailhouse.redaction.shapes.services import SERVICES
from trailhouse.redaction.shapes.shape import Shape

SHAPES: tuple[Shape, ...] = (
    *AI,
    *CLOUD,
    *CODE_HOSTING,
    *DATABASES,
    *MESSAGING,
    *OBSERVABILITY,
    *PAYMENTS,
    *SERVICES,
)
