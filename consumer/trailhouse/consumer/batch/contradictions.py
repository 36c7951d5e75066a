"""Writes down where what is stored contradicts the log: what kept it from being anchored."""

from collections.abc import Sequence

from trailhouse.anchoring.log_growth import MEANINGS, Contradiction
from trailhouse.broker.origin import Origin
from trailhouse.consumer.batch.incidents import Incidents
from trailhouse.consumer.monitoring.incident import Incident


def note_contradictions(
    incidents: Incidents, origin: Origin, contradictions: Sequence[Contradiction]
) -> None:
    """Write down those of *contradictions* that are of the topic *origin*, each once.

    Raises:
        StorageError: ClickHouse is away (retriable) or refuses (permanent); note it again.
    """
    meanings = {
        Incident("contradicted", each.log.kafka_partition, each.at, each.at): MEANINGS[each.kind]
        for each in contradictions
        if each.log[:3] == tuple(origin)
    }
    incidents.note(list(meanings), lambda found: _detail(meanings, found))


def _detail(meanings: dict[Incident, str], found: Incident) -> str:
    return f"{meanings.get(found, 'what is stored contradicts itself')}; run `trailhouse verify`"
