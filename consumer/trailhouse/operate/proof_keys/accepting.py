"""What nobody has signed and nobody will, and the owner may accept as it stands: found, and put as a policy has it."""

import base64
import datetime as dt
from collections.abc import Callable, Collection, Iterable, Mapping

import msgspec

from trailhouse.operate.derived_rows import patient
from trailhouse.operate.proof_keys.earlier_rows import earlier_rows, store_leaves
from trailhouse.operate.verify.duties.leaves.leaves import tell_walked
from trailhouse.operate.verify.finding import Findings
from trailhouse.operate.verify.leaves.walk import LeafWalk
from trailhouse.operate.verify.logs import OF_GENERATION, LogId
from trailhouse.operate.verify.run import Run
from trailhouse.proof.config import ProofConfig
from trailhouse.proof.policy import Accepted, Policy
from trailhouse.schemas.errors import ProofError, QueryError
from trailhouse.store.clickhouse import ClickHouse

EARLIER = "rows that are older than the first leaf of their partition: they were stored before it was proven"
UNSIGNED = "leaves that no key of the log has signed, and a worker has gone on without them, or none signs this log"
_NAMED = 10
_END = f"SELECT max(kafka_offset) + 1, count() FROM log_leaves WHERE {OF_GENERATION}"  # noqa: S608 - names of ours
_SIGNED = f"SELECT count() FROM log_checkpoints WHERE {OF_GENERATION} AND position(checkpoint, '\\n\\n') > 0"  # noqa: S608 - as above


class Acceptable(msgspec.Struct, frozen=True, kw_only=True):
    """What could be accepted of one log.

    Attributes:
        log: Its name, as `verify` has it; with ``/0`` for rows from before it was proven.
        first_offset: The first offset that is not signed.
        last_offset: The last that would be accepted.
        meaning: What it is.
        is_accepted: Whether the policy in force accepts it already.
    """

    log: str
    first_offset: int
    last_offset: int
    meaning: str
    is_accepted: bool


class Acceptances:
    """What could be accepted in one database, by the policy in force."""

    def __init__(
        self,
        storage: ClickHouse,
        proof: ProofConfig,
        policy: Policy,
        tell: Callable[[str], None] = lambda step: None,
    ) -> None:
        """Prepare; *storage* is asked with patience, *policy* is in force, *tell* is told what is being done.

        Raises:
            StorageError: ClickHouse is away (retriable) or refuses (permanent).
        """
        self._policy = policy
        self._storage = ClickHouse(patient(storage.config))
        self._run = Run(self._storage, proof=proof, tell=tell)
        self._earlier = {each.log: each for each in earlier_rows(self._run)}
        self._unsigned = self._not_signed()

    def close(self) -> None:
        """Close what it has opened."""
        self._storage.close()

    def all(self) -> list[Acceptable]:
        """Return all of it.

        Raises:
            StorageError: ClickHouse is away (retriable) or refuses (permanent).
        """
        accepted = {each.log: each.size for each in self._policy.accepted}
        found = [(log, rows.first, rows.end, EARLIER) for log, rows in self._earlier.items()] + [
            (log, first, end, UNSIGNED) for log, (first, end) in self._unsigned.items()
        ]
        return [
            Acceptable(
                log=str(log),
                first_offset=first,
                last_offset=end - 1,
                meaning=meaning,
                is_accepted=accepted.get(log) == end,
            )
            for log, first, end, meaning in found
        ]

    def accepted(self, names: Collection[str], reason: str, at: dt.datetime) -> list[Accepted]:
        """Return what *names* name, or all where they are empty, as a policy says that it is accepted.

        Of rows without a leaf the leaves are made and stored: they count once the policy is in force.

        Raises:
            QueryError: There is nothing of a name, or nothing at all. Permanent.
            ProofError: Something contradicts itself there: `verify` says what. Permanent.
            StorageError: ClickHouse is away (retriable) or refuses (permanent).
        """
        wanted = {each.log for each in self.all() if not each.is_accepted}
        if unknown := sorted(set(names) - wanted):
            raise QueryError(f"nothing of {', '.join(unknown[:_NAMED])} is there to be accepted")
        wanted = set(names) or wanted
        if not wanted:
            raise QueryError("nothing is there to be accepted: all is signed, or accepted already")
        ends = {log: end for log, (_, end) in self._unsigned.items() if str(log) in wanted}
        for log, rows in self._earlier.items():
            if str(log) in wanted:
                store_leaves(self._run, rows)
                ends[log] = rows.end
        roots = self._roots(ends)
        return [
            Accepted(
                cluster=log.cluster,
                topic=log.topic,
                topic_id=log.topic_id,
                partition=log.partition,
                generation=log.generation,
                size=end,
                root=base64.b64encode(roots[log]).decode(),
                reason=reason,
                at_ms=round(at.timestamp() * 1_000),
            )
            for log, end in sorted(ends.items())
        ]

    def _roots(self, ends: Mapping[LogId, int]) -> dict[LogId, bytes]:
        walk = self._walk(ends)
        for log, end in ends.items():
            walk.want(log, end)
        found = Findings("leaves")
        for log, walked in walk.walked().items():
            tell_walked(found, log, walked)
        if found:
            first = found.all()[0]
            raise ProofError(
                f"{first.place}: {first.meaning}; nothing is accepted where `trailhouse verify` finds this"
            )
        return {log: walk.at(log, end) or b"" for log, end in ends.items()}

    def _walk(self, logs: Iterable[LogId]) -> LeafWalk:
        return LeafWalk(self._storage, tuple(logs), {}, self._run.is_signed, self._run.tell)

    def _not_signed(self) -> dict[LogId, tuple[int, int]]:
        """Return of each log that nobody goes on to sign the first offset that is not signed, and the end."""
        ends = {log: end for log in self._run.logs if (end := self._end(log)) is not None}
        walk = self._walk(ends)
        walk.walked()
        held = {log: walk.held.get(log, 0) for log in ends}
        return {log: (held[log], end) for log, end in ends.items() if held[log] < end}

    def _end(self, log: LogId) -> int | None:
        """Return the end of *log*, where another generation has followed it or it bears no signature."""
        same = [each for each in self._run.logs if each.place == log.place]
        if same[-1] == log and int(self._storage.query(_SIGNED, log.parameters).rows[0][0]):
            return None
        end, leaves = map(int, self._storage.query(_END, log.parameters).rows[0])
        return end if leaves else None


def withdrawn(policy: Policy, names: Collection[str]) -> list[tuple[str, str, str, int, str]]:
    """Return the logs of which *policy* accepts something, those of *names* alone where there are any.

    Raises:
        QueryError: It accepts nothing of a name, or nothing at all. Permanent.
    """
    accepted = {str(LogId(*each.log)): each.log for each in policy.accepted}
    if unknown := sorted(set(names) - accepted.keys()) or ([] if accepted else ["any log"]):
        raise QueryError(f"the policy accepts nothing of {', '.join(unknown[:_NAMED])}")
    return [log for name, log in accepted.items() if not names or name in names]
