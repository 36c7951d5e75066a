"""What would be taken out of an event's data before it is written."""

from __future__ import annotations

from abc import ABC
from typing import TYPE_CHECKING, Any

from trailhouse.schemas.json_form import json_object
from trailhouse.schemas.unencodable import marked

if TYPE_CHECKING:
    from collections.abc import Mapping

    from trailhouse.producer.delivery.dispatcher import Dispatcher
    from trailhouse.redaction.preview import Finding


class RedactionPreview(ABC):
    """The part of an `AuditLogger` that shows what its redaction does."""

    _dispatcher: Dispatcher

    def redaction_preview(self, data: Mapping[str, Any] | str) -> list[Finding]:
        """Return what would be taken out of *data*, a text or the data of an event, if it were logged.

        Each finding has a path and a category, and never the value. Nothing is logged; with `[redaction] enabled`
        off nothing would go, and the list is empty.
        """
        redactor = self._dispatcher.redactor
        if redactor is None:
            return []
        fields = {"text": data} if isinstance(data, str) else data
        return redactor.preview(json_object(marked({"data": fields})["data"], "data"))
