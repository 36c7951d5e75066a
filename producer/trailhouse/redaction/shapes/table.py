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

SHAPES_BY_KIND: dict[str, tuple[Shape, ...]] = {
    "models and tools of agents": AI,
    "clouds, hosts, networks": CLOUD,
    "code, packages, builds, projects": CODE_HOSTING,
    "databases, content, vaults": DATABASES,
    "mail, chat, phone": MESSAGING,
    "monitoring, analytics, flags": OBSERVABILITY,
    "payments, banks, shops, exchanges": PAYMENTS,
    "business, identity, data, security": SERVICES,
}
SHAPES: tuple[Shape, ...] = tuple(shape for shapes in SHAPES_BY_KIND.values() for shape in shapes)
