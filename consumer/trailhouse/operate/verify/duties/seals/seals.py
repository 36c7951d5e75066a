"""Duty 9: what producers have sealed is stored, and nothing else under their names; no seal is overdue."""

from collections.abc import Iterable, Iterator, Mapping
from heapq import merge
from itertools import groupby

from trailhouse.operate.verify.anchored.anchored import Anchored
from trailhouse.operate.verify.duties.seals.lagging_logs import LaggingLogs, Topic
from trailhouse.operate.verify.duties.seals.meanings import MEANING
from trailhouse.operate.verify.duties.seals.rows import (
    Logger,
    LoggerBatch,
    StoredSeal,
    erased_rows,
    erased_seals,
    last_record_seconds,
    log_began_ms,
    logger_batches,
    new_numbers,
    records_of,
    seals_of,
    stored_until_seconds,
)
from trailhouse.operate.verify.duties.seals.sealed_records import (
    SealedRow,
    SealFault,
    Told,
    faults_in,
    faults_of,
    is_overdue,
    may_be_adopted,
)
from trailhouse.operate.verify.duties.seals.sealed_runs import RunsOfLogger
from trailhouse.operate.verify.duties.seals.unsealed import tell_unsealed
from trailhouse.operate.verify.duty import Checked, Duty
from trailhouse.operate.verify.finding import Findings
from trailhouse.operate.verify.rows.unseen import unseen
from trailhouse.operate.verify.run import Run
from trailhouse.proof.seal import Seal
from trailhouse.proof.seal_check import SLACK_SECONDS, LoggerSeals, SealBook, check_seal
from trailhouse.schemas.errors import ProofError
from trailhouse.schemas.record_hash import RECORD_KEY_BYTES, record_hash

_ALL = 2**63
_ACCOUNT = "`trailhouse account` says more; compare with Kafka, and with the producer's spool"


class SeenSeals:
    """What was seen of all seals that count, and of the records that name their producers.

    Attributes:
        count: How many seals were looked at.
        found: What is wrong with them.
    """

    def __init__(self) -> None:
        self.count = 0
        self.found = Findings("seals")
        self._whole: set[bytes] = set()

    def note_whole(self, seal: Seal) -> None:
        """Note that the records of *seal* are all there, just those that it names, of tenants that it may seal for."""
        self._whole.add(_short_hash(seal))

    def is_whole(self, seal: Seal) -> bool:
        """Tell whether that was noted of *seal*."""
        return _short_hash(seal) in self._whole


def _short_hash(seal: Seal) -> bytes:
    return record_hash(seal.text.encode())[:RECORD_KEY_BYTES]


def check(run: Run, found: Findings) -> Checked:
    """Hold all seals that count against all records that name their producers."""
    seen = run.repeat(run.shared(look_at_seals))
    found.take(seen.found)
    return Checked(seen.count, "seals")


def look_at_seals(run: Run) -> SeenSeals:
    """Look at all of them, and at those records.

    Raises:
        CannotCheckError: No policy says whose seals count.
        StorageError: ClickHouse is away (retriable) or refuses (permanent).
    """
    seen = SeenSeals()
    services = sorted({key.service for key in run.policy.services})
    sealed: list[Logger] = []
    producers = _producers(run)
    for whole_batch in logger_batches(run.clickhouse, services):
        batch = whole_batch
        if producers is not None:
            asked = (logger for logger in batch.loggers if logger[1] in producers)
            batch = batch._replace(loggers=tuple(asked))
        if not batch.loggers:
            continue
        book = _Book(run, seen)
        for seal in seals_of(run.clickhouse, batch):
            seen.count += 1
            book.add(seal)
        book.check(batch)
        sealed += book.loggers
    tell_unsealed(run, seen.found, sealed)
    if seen.count:
        run.trusts("of seals, ClickHouse hashes the records")
    return seen


def _producers(run: Run) -> set[str] | None:
    """Return who has logged any of what is asked for: all of theirs is looked at; None for everybody."""
    if run.scope.is_all:
        return None
    rows = run.clickhouse.query(
        f"SELECT DISTINCT toString(producer_id) FROM event_log WHERE {run.scope.condition}",  # noqa: S608 - names of ours; every value is a bound parameter
        run.scope.parameters,
    ).rows
    return {str(producer) for (producer,) in rows}


class _Book:
    """The seals of some loggers."""

    def __init__(self, run: Run, seen: SeenSeals) -> None:
        from trailhouse.proof.keys import is_signed_by

        self._run = run
        self._seen = seen
        self._found = seen.found
        self._book = SealBook(run.policy, is_signed_by)
        self._newest_ms: dict[Logger, int] = {}
        self._appended: dict[bytes, tuple[Topic, int]] = {}
        """Of each seal, to which topic it was appended, and when."""
        self._began_ms: dict[tuple[str, str], int] = {}
        self._new_from: dict[Logger, int] = {}
        """The first number of the seals that no earlier run has seen."""
        self._erased_until = erased_seals(run.clickhouse, run.erased_by_key)
        """Of producers of whom a seal was erased: of numbers below this that no other covers nothing can be said."""

    @property
    def loggers(self) -> Iterable[Logger]:
        """Those of which any seal counts."""
        return self._book.loggers

    def add(self, stored: StoredSeal) -> None:
        """Take in the seal that was logged next, where it counts."""
        try:
            seal = self._counted(stored)
            if seal is None:
                return
            logger = seal.service, seal.producer_id
            known = self._book.loggers.get(logger)
            if known is None and self._is_of_before(stored):
                return
            end_seq = known.end_seq if known else -1
            self._book.add(stored.data, stored.carried_by)
            self._appended.setdefault(_short_hash(seal), (stored.place[:3], stored.appended_ms))
        except ProofError as error:
            self._found.add(
                "forged_seal",
                log=f"{stored.place[1]}/{stored.place[2]}/{stored.place[3]}",
                first_offset=stored.offset,
                table="event_log",
                meaning=f"a seal in the name of an enrolled service does not count ({error})",
                way_out="ask who may write to the topic; what it claims is not believed",
            )
            return
        if stored.offset >= self._run.firsts.get(stored.place, 0):
            self._new_from[logger] = min(seal.first_seq, self._new_from.get(logger, seal.first_seq))
        # A copy of an old one, whoever sends it, does not stand for the one that is due.
        if self._book.loggers[logger].end_seq != end_seq:
            self._newest_ms[logger] = stored.appended_ms

    def _is_of_before(self, stored: StoredSeal) -> bool:
        """Tell whether it repeats the seal of a logger that had closed before the topic's log began."""
        if not isinstance(stored.data, dict) or "repeats_ms" not in stored.data:
            return False
        topic = stored.place[:2]
        if topic not in self._began_ms:
            self._began_ms[topic] = log_began_ms(self._run.clickhouse, *topic)
        return int(stored.data["repeats_ms"]) < self._began_ms[topic]

    def _counted(self, stored: StoredSeal) -> Seal | None:
        """Return what *stored* says; None where its key was revoked before an anchor held it."""
        from trailhouse.proof.keys import is_signed_by

        counted = check_seal(stored.data, self._run.policy, is_signed_by)
        last = counted.key.last_anchor
        if last is not None:
            number = _covering(self._run.anchored, stored)
            if number is None or number > last:
                return None
        return counted.seal

    def check(self, batch: LoggerBatch) -> None:
        """Tell what is wrong with the records of the loggers of *batch*; what may be on its way is waited for."""
        loggers = [logger for logger in batch.loggers if logger in self._book.loggers]
        waiting: dict[Logger, dict[Topic, int]] = {}
        for logger, told in self._told(loggers):
            if missing := [each for each in told if each.kind is SealFault.MISSING]:
                waiting[logger] = dict(sorted(self._seal_of(logger, each) for each in missing))
            else:
                self._tell(logger, told)
        logs = LaggingLogs(self._run.clickhouse) if waiting else None
        while logs and waiting:
            is_due = logs.wait({pair for each in waiting.values() for pair in each.items()})
            for logger, told in self._told(list(waiting)):
                is_missing = any(each.kind is SealFault.MISSING for each in told)
                if not is_missing or not is_due:
                    left = (each for each in told if not self._may_come(logger, each, logs))
                    self._tell(logger, list(left))
                    del waiting[logger]
        self._tell_overdue(loggers)

    def _seal_of(self, logger: Logger, told: Told) -> tuple[Topic, int]:
        """Return to which topic the seal was appended that *told* goes by, and when."""
        first = told.numbers.first
        pieces = self._seals(logger).pieces
        return self._appended[
            next(_short_hash(each.counted.seal) for each in pieces if each.last >= first)
        ]

    def _may_come(self, logger: Logger, told: Told, logs: LaggingLogs) -> bool:
        """Tell whether *told* is about records that a worker may not have come to, and say so."""
        if told.kind is not SealFault.MISSING:
            return False
        reason = logs.reason(*self._seal_of(logger, told))
        if reason is None:
            return False
        first, last = told.numbers
        self._run.cannot(
            f"{logger[0]} {logger[1]} has sealed numbers {first} to {last}, and their records are not stored yet,"
            f" {reason}: let one run until it has; then verify again"
        )
        return True

    def _told(self, loggers: list[Logger]) -> Iterator[tuple[Logger, list[Told]]]:
        if not loggers:
            return
        erased = erased_rows(self._run.clickhouse, loggers, self._run.erased_by_key)
        # What was erased is put among the others: then all of its logger's are looked at.
        owners = {logger for logger, _ in erased}
        others = [logger for logger in loggers if logger not in owners]
        froms = self._froms(others)
        if self._run.firsts:
            for logger in (each for each in others if each not in froms):
                yield logger, list(faults_in(self._seals(logger), RunsOfLogger(iter(()), _ALL)))
            others = list(froms)
        yield from self._told_of(others, froms, [])
        yield from self._told_of([logger for logger in loggers if logger in owners], {}, erased)

    def _told_of(
        self,
        loggers: list[Logger],
        froms: Mapping[Logger, int],
        erased: list[tuple[Logger, SealedRow]],
    ) -> Iterator[tuple[Logger, list[Told]]]:
        left = dict.fromkeys(loggers)
        for logger, told in self._faults(loggers, froms, erased):
            del left[logger]
            yield logger, told
        nothing: Iterable[SealedRow] = ()
        for logger in left:
            yield logger, list(faults_of(self._seals(logger), nothing))

    def _froms(self, loggers: list[Logger]) -> dict[Logger, int]:
        """Return from which number on the records of each logger are looked at that has new ones, or new seals."""
        if not self._run.firsts or not loggers:
            return {}
        new = new_numbers(self._run.clickhouse, loggers, unseen(self._run.firsts))
        found: dict[Logger, int] = {}
        for logger in loggers:
            both = (new.get(logger[1]), self._new_from.get(logger))
            numbers = [number for number in both if number is not None]
            if numbers:
                first = min(numbers)
                pieces = self._seals(logger).pieces
                covering = (each.first for each in pieces if each.first <= first <= each.last)
                found[logger] = next(covering, first)
        return found

    def _faults(
        self,
        loggers: list[Logger],
        froms: Mapping[Logger, int],
        erased: list[tuple[Logger, SealedRow]],
    ) -> Iterator[tuple[Logger, list[Told]]]:
        if not loggers:
            return
        first_seqs = [froms.get(logger, 0) for logger in loggers]
        runs = records_of(self._run.clickhouse, loggers, first_seqs)
        if not erased:
            for logger, pairs in groupby(runs, key=lambda pair: pair[0]):
                records = RunsOfLogger(
                    (run for _, run in pairs), froms.get(logger, 0), self._seen.note_whole
                )
                yield logger, list(faults_in(self._seals(logger), records))
            return
        places = {logger: place for place, logger in enumerate(loggers)}
        both = merge(
            ((logger, row) for logger, run in runs for row in run.rows()),
            erased,
            key=lambda pair: (places[pair[0]], pair[1].seq),
        )
        for logger, rows in groupby(both, key=lambda pair: pair[0]):
            yield logger, list(faults_of(self._seals(logger), (row for _, row in rows)))

    def _seals(self, logger: Logger) -> LoggerSeals:
        return self._book.loggers[logger]

    def _tell(self, logger: Logger, told: list[Told]) -> None:
        for each in told:
            end = self._erased_until.get(logger[1], 0)
            if each.kind is SealFault.UNSEALED and each.numbers.last < end:
                self._run.trusts(
                    "seals were erased by order: what they covered is held against none"
                )
                continue
            kind, meaning = MEANING[each.kind]
            first, last = each.numbers
            self._found.add(
                kind,
                table="event_log",
                name=f"{logger[0]} {logger[1]}, numbers {first} to {last}",
                meaning=meaning,
                way_out=_ACCOUNT,
                count=each.numbers.size,
            )

    def _tell_overdue(self, loggers: list[Logger]) -> None:
        now_seconds = stored_until_seconds(self._run.clickhouse)
        for logger in loggers:
            seals = self._seals(logger)
            if self._erased_until.get(logger[1], 0) >= seals.end_seq:
                continue
            if is_overdue(seals, self._newest_ms[logger] / 1_000, now_seconds):
                if reason := self._not_overdue(logger, seals, now_seconds):
                    number = seals.end_seq - 1
                    self._run.cannot(
                        f"{logger[0]} {logger[1]} has sealed nothing after number {number}, {reason}"
                    )
                    continue
                kind, meaning = MEANING[SealFault.OVERDUE]
                self._found.add(
                    kind,
                    table="event_log",
                    name=f"{logger[0]} {logger[1]}, after number {seals.end_seq - 1}",
                    meaning=meaning,
                    way_out="see whether it still runs; a logger that takes over its spool seals what is left",
                    count=1,
                )

    def _not_overdue(self, logger: Logger, seals: LoggerSeals, now_seconds: float) -> str | None:
        """Return why the seal that is due may still come, and what is to be done; None where it may not."""
        if self._may_be_adopted(logger, seals, now_seconds):
            return (
                "as where it was killed: the next logger in its place seals what it has left; start one,"
                " then verify again"
            )
        topic, _ = self._appended[_short_hash(seals.pieces[-1].counted.seal)]
        due_ms = self._newest_ms[logger] + (seals.next_within_seconds + SLACK_SECONDS) * 1_000
        why = LaggingLogs(self._run.clickhouse).reason(topic, round(due_ms))
        return (
            f"or that is not stored yet, {why}: let one run until it has; then verify again"
            if why
            else None
        )

    def _may_be_adopted(self, logger: Logger, seals: LoggerSeals, now_seconds: float) -> bool:
        """Tell whether it may have been killed just now: nothing of it came when it should have sealed, or later."""
        newest_seconds = self._newest_ms[logger] / 1_000
        due_seconds = newest_seconds + seals.next_within_seconds + SLACK_SECONDS
        last_seconds = last_record_seconds(self._run.clickhouse, logger, seals.end_seq)
        return may_be_adopted(due_seconds, last_seconds, now_seconds)


def _covering(anchored: Anchored, stored: StoredSeal) -> int | None:
    numbers = [
        number
        for log, times in anchored.limits.items()
        if log.place == stored.place and (number := times.covering(stored.offset)) is not None
    ]
    return min(numbers, default=None)


DUTY = Duty(
    9,
    "seals",
    "what each enrolled producer has sealed against the records under its name",
    check,
    is_scoped=True,
)
