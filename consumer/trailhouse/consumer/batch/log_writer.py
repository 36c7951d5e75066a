"""Writes batches, and before the ledger has them what proves them: leaves and nodes of their partitions' logs."""

from collections.abc import Mapping, Sequence

from trailhouse.consumer.batch.batch import Batch
from trailhouse.consumer.batch.incidents import Incidents
from trailhouse.consumer.batch.uncommitted import Writes
from trailhouse.consumer.batch.writer import Stored
from trailhouse.consumer.monitoring.incident import Incident
from trailhouse.consumer.proof_log.assigned_logs import AssignedLogs
from trailhouse.consumer.proof_log.leaves import ReadLeaves
from trailhouse.schemas.ranges import Range, Ranges


class LogWriter:
    """Writes batches of one assignment through *writer*. Used by the one thread that stores, but for `note_commit`."""

    def __init__(self, writer: Writes, logs: AssignedLogs, incidents: Incidents) -> None:
        self._writer = writer
        self._logs = logs
        self._incidents = incidents

    def store(self, batch: Batch) -> Stored:
        """Do as `Writes.store` says."""
        return self._writer.store(batch)

    def enter(self, batches: Sequence[Batch], stored: Sequence[Stored]) -> None:
        """Write the leaves of *batches*, and why there is none where there is none; then do as `Writes.enter` says.

        Raises:
            StorageError: As the writer's. Enter the same batches again.
        """
        written = self._logs.write(leaves_of(batches))
        if written.forks:
            self._note_forks(written.forks)
        if written.contradicted:
            self._note_contradicted(written.contradicted)
        if written.holes:
            self._note_holes(written.holes)
        self._writer.enter(batches, stored)

    def note_commit(self) -> None:
        """Take in that what was entered last is committed."""
        self._logs.note_commit()

    def _note_forks(self, forks: Mapping[int, Range]) -> None:
        found = [Incident("forked", number, *span) for number, span in forks.items()]
        self._incidents.tell(self._incidents.note(found, _forked), _forked)

    def _note_contradicted(self, contradicted: Mapping[int, int]) -> None:
        found = [Incident("contradicted", number, at, at) for number, at in contradicted.items()]
        self._incidents.tell(self._incidents.note(found, _contradicted), _contradicted)

    def _note_holes(self, holes: Mapping[int, Ranges]) -> None:
        self._incidents.put(
            [
                Incident("no_record", number, *span)
                for number, spans in holes.items()
                for span in spans
            ],
            _no_record,
        )


def leaves_of(batches: Sequence[Batch]) -> dict[int, list[ReadLeaves]]:
    """Return what the leaves of *batches*, which follow each other, are made of, by partition."""
    found: dict[int, list[ReadLeaves]] = {}
    for batch in batches:
        for number, span in batch.spans.items():
            found.setdefault(number, []).append(span.leaves())
    return found


def _forked(_found: Incident) -> str:
    return (
        "Kafka shows other records here than those that were stored and signed (a leader was elected that lacked"
        " them): both are stored, and the partition's log goes on as a new generation"
    )


def _contradicted(_found: Incident) -> str:
    return (
        "a stored leaf that nobody had signed says another record than Kafka has here: it was changed, or a leader was"
        " elected that lacked what was stored; what Kafka has is signed. Run `trailhouse verify`"
    )


def _no_record(_found: Incident) -> str:
    return "Kafka gave no record here: a transaction's marker, or records that were taken back or passed over"
