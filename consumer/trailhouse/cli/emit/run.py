"""One run of `trailhouse emit`: each line of an input becomes an event, once, however often it is run."""

import contextlib
import select
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import TYPE_CHECKING, BinaryIO, Protocol

import msgspec

from trailhouse.cli.emit.emission import Emission
from trailhouse.cli.emit.journal import Earlier, EmitJournal, Planned, State, digest_of
from trailhouse.cli.emit.lines import Line, Stamp, event_from
from trailhouse.producer import AuditLogger
from trailhouse.producer.config import ProducerConfig
from trailhouse.producer.sealing.key import seal_signer
from trailhouse.producer.spool.frame import Frame
from trailhouse.producer.spool.metadata import Destination, destination_of
from trailhouse.producer.spool.reader import frames_of
from trailhouse.producer.spool.root import QUARANTINE, folders, root_of
from trailhouse.redaction.config import RedactionConfig
from trailhouse.redaction.content import ContentConfig, left_alone_by, withholders
from trailhouse.redaction.redactor import redactor_of
from trailhouse.schemas.codec import decode_envelope
from trailhouse.schemas.errors import DeliveryTimeoutError, EventError, InvalidEventError
from trailhouse.schemas.event import AuditEvent
from trailhouse.schemas.event_type import EventType
from trailhouse.schemas.record import Source
from trailhouse.schemas.record_hash import record_hash

if TYPE_CHECKING:
    from trailhouse.cli.emit.line_seals import LineSeals

LOOK_SECONDS = 0.2


class Outcome(msgspec.Struct, kw_only=True):
    """What became of the lines of an input.

    Attributes:
        acknowledged_events: Sent by this run, and the broker has them.
        waited_events: They waited in a spool when it began, and the broker has them now.
        skipped_lines: The broker had their events before.
        refused_lines: Bad lines, and those whose event the broker refuses.
        waiting_events: In a spool: whoever comes next sends them.
        unanswered_events: Sent without an answer, and in no spool.
        last_line: The number of the last line that was read.
        is_read: Whether that was the end of the input.
    """

    acknowledged_events: int = 0
    waited_events: int = 0
    skipped_lines: int = 0
    refused_lines: int = 0
    waiting_events: int = 0
    unanswered_events: int = 0
    last_line: int = 0
    is_read: bool = False


class Reports(Protocol):
    """Who is told of a line that became no event."""

    def __call__(self, number: int, reason: str, /) -> None:
        """Take the *number* of a line and the rule that it breaks, or the broker's answer."""
        ...


class EmitRun:
    """Sends what is new; `outcome` is true at any moment.

    Args:
        config: Where it goes; the spools are looked into as well.
        journal: What earlier runs have done with the same input; made ready by this.
        source: This process.
        timeout_seconds: Longest wait for an acknowledgement.
        report: Told of each line that is refused.
    """

    def __init__(
        self,
        config: ProducerConfig,
        journal: EmitJournal,
        source: Source,
        timeout_seconds: float,
        report: Reports,
    ) -> None:
        self.outcome = Outcome()
        self._config = config
        self._journal = journal
        self._producer_id = source.producer_id
        self._timeout_seconds = timeout_seconds
        self._report = report
        self._stamp = Stamp(
            source,
            limit_bytes=config.max_event_bytes,
            tenant_id=config.tenant_id,
            redactor=redactor_of(
                config.redaction, config.max_event_bytes, left_alone_by(config.content)
            ),
            withholders=withholders(config.content, config.redaction.key),
        )
        self._waited = self._resolve()
        self.outcome.waiting_events = self._waited
        is_sealed = bool(config.seal_key_file)
        # From here on what is in the spools is sent, first of all.
        self._audit = AuditLogger(_exact(config) if is_sealed else config)
        self._seals = self._made_seals(source.service or "") if is_sealed else None
        self._emission = Emission(
            self._audit,
            timeout_seconds,
            on_acknowledged=self._acknowledged,
            on_refused=self._refused,
        )

    def _made_seals(self, service: str) -> "LineSeals | None":
        from trailhouse.cli.emit.line_seals import LineSeals  # who has no key pays for nothing

        signer = seal_signer(self._config.seal_key_file, service)
        if signer is None:
            return None
        return LineSeals(self._journal, signer, service, self._config, self._log_seal)

    def _resolve(self) -> int:
        journal = self._journal
        if not journal.has_lines:
            return 0
        journal.prepare()
        if not journal.has_unsettled:
            return 0
        return journal.resolve(
            spooled_ids(self._config), is_in_order=not _has_quarantined(self._config)
        )

    def read(self, blocks: Iterable[list[Line]]) -> None:
        """Send the events of all lines, some at a time, as they come.

        Raises:
            DeliveryError, JournalError: As in `Emission.send` and `EmitJournal.plan`; `outcome` says
                what became of the lines.
        """
        for block in blocks:
            self._send(block)
        self.outcome.is_read = True

    def _send(self, lines: Iterable[Line]) -> None:
        events: list[tuple[int, AuditEvent]] = []
        planned: list[Planned] = []
        for line in lines:
            self.outcome.last_line = line.number
            digest = digest_of(line.content)
            earlier = None if line.is_too_long else self._journal.take(digest)
            if earlier is not None and earlier.state is not State.PLANNED:
                self.outcome.skipped_lines += earlier.state is State.ACKNOWLEDGED
                continue
            try:
                event = event_from(line, self._stamp, earlier)
            except EventError as error:
                self._refuse(line.number, str(error))
                continue
            events.append((line.number, event))
            planned.append(self._plan_of(digest, event, earlier))
        # In the journal before anything is sent: after a kill the same events are sent again, to the byte.
        entries = self._journal.plan(planned) if planned else []
        for (number, event), entry in zip(events, entries, strict=True):
            self._emission.send(number, entry, event)
        if self._seals is not None:
            self._seals.look(len(planned))
        self._count()

    def _log_seal(self, session_id: str, data: Mapping[str, object]) -> None:
        receipt = self._audit.log(EventType.AUDIT_SEALED, session_id=session_id, data=data)
        if receipt is not None and self._config.mode != "durable":
            receipt.result(self._timeout_seconds)

    def _plan_of(self, digest: bytes, event: AuditEvent, earlier: Earlier | None) -> Planned:
        source = event.source
        is_stamped = source is not None and source.producer_id == self._producer_id
        return Planned(
            digest,
            event.event_id,
            event.occurred_at,
            source.seq if source is not None and is_stamped else None,
            None if earlier is None else earlier.line,
            record_hash(event.record) if is_stamped and self._seals is not None else None,
        )

    def look(self) -> None:
        """Note what was acknowledged meanwhile, before waiting for more of the input."""
        self._emission.settle()
        self._journal.note()
        if self._seals is not None:
            self._seals.look()

    def finish(self) -> None:
        """Return when the broker has everything, that which waited in spools included.

        Raises:
            DeliveryTimeoutError, DeliveryRejectedError: As `AuditLogger.flush`.
            SpoolDamagedError: Some of what waited was damaged. Permanent: it is set aside.
        """
        self._emission.finish()
        self._count()
        self._journal.note()
        if self._waited:
            self._audit.flush(self._timeout_seconds)
            self._await_others()
            self._journal.acknowledge_waiting()
            self.outcome.waited_events, self.outcome.waiting_events, self._waited = (
                self._waited,
                0,
                0,
            )
        if self._seals is not None:
            self._seals.finish()
            # Its own last seal goes with the rest: `close` without a wait would leave it in the spool.
            self._audit.close(self._timeout_seconds)

    def _await_others(self) -> None:
        """Wait until no spool has an event of this input: another process may be sending some."""
        deadline_seconds = time.monotonic() + self._timeout_seconds
        # A spool under another process's lock is sent by that one; we can only look.
        while left := self._journal.count_waiting(spooled_ids(self._config)):
            if time.monotonic() > deadline_seconds:
                raise DeliveryTimeoutError(
                    f"{left} events wait in spools that other processes send, and were not acknowledged within"
                    f" {self._timeout_seconds:g} s; they stay there"
                )
            time.sleep(LOOK_SECONDS)

    def close(self) -> None:
        """Let go of the connection and the spool; what was acknowledged until now is noted."""
        with contextlib.suppress(Exception):  # what it would say has been said
            self._audit.close(0)
        self._emission_over()
        self._journal.note()

    def _emission_over(self) -> None:
        with contextlib.suppress(Exception):  # no more than what is settled already
            self._emission.settle()
        self._count()

    def _count(self) -> None:
        outcome = self.outcome
        outcome.acknowledged_events = self._emission.acknowledged_events
        pending = self._emission.pending_events
        is_durable = self._config.mode == "durable"
        outcome.waiting_events = self._waited + (pending if is_durable else 0)
        outcome.unanswered_events = 0 if is_durable else pending

    def _acknowledged(self, entry: int) -> None:
        self._journal.acknowledge(entry)

    def _refused(self, number: int, entry: int, reason: str) -> None:
        self._journal.drop(entry)
        self._refuse(number, reason)

    def _refuse(self, number: int, reason: str) -> None:
        self.outcome.refused_lines += 1
        self._report(number, reason)


def _exact(config: ProducerConfig) -> ProducerConfig:
    """Return *config* for a logger whose own events are seals: of no tenant, nothing in them is withheld."""
    return msgspec.structs.replace(
        config,
        tenant_id="",
        redaction=RedactionConfig(enabled=False),
        content=ContentConfig(level="full", by_type=""),
    )


def spooled_ids(config: ProducerConfig) -> Iterator[str]:
    """Yield the ids of the events that are on their way to the configured topic, in any spool."""
    ours = Destination(bootstrap_servers=config.kafka.bootstrap_servers, topic=config.kafka.topic)
    for path in folders(root_of(config)):
        theirs = destination_of(path)
        if theirs is not None and not theirs.is_same(ours):
            continue
        for found, _ in frames_of(path):
            if isinstance(found, Frame):
                # Another program may write to the same folder of spools; it is not our line.
                with contextlib.suppress(InvalidEventError):
                    yield decode_envelope(found.record).envelope.event_id


def _has_quarantined(config: ProducerConfig) -> bool:
    quarantine = root_of(config) / QUARANTINE
    return quarantine.is_dir() and any(quarantine.iterdir())


def looking_until_readable(stream: BinaryIO, look: Callable[[], None]) -> Callable[[], None]:
    """Return what is called before *stream*, a pipe, is read: calls *look* until there is something."""

    def wait() -> None:
        look()
        while not select.select([stream], [], [], LOOK_SECONDS)[0]:
            look()

    return wait
