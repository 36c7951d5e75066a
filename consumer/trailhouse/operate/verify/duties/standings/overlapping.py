"""What other seals of a logger say of numbers that a seal names too: which of them came first, decides."""

from typing import NamedTuple

from trailhouse.attesting.judgement import SealState
from trailhouse.attesting.seal_rounds import judged_round
from trailhouse.attesting.stored_seals import Carrier, SealRow
from trailhouse.proof.note import Verify
from trailhouse.proof.policy import Policy
from trailhouse.proof.standing import Standing
from trailhouse.store.clickhouse import ClickHouse

_MOST = 100
_OTHERS = f"""
    SELECT DISTINCT session_id, tenant_id, occurred_us, seal_key, kafka_topic, kafka_topic_id, kafka_partition,
        kafka_offset, toUnixTimestamp64Milli(appended_at), toUInt16(0), toUInt32(0)
    FROM seal_checks
    WHERE producer_id = {{producer:String}} AND service = {{service:String}} AND seal_hash != unhex({{hash:String}})
        AND first_seq <= {{last:UInt64}} AND last_seq >= {{first:UInt64}}
        AND verdict IN ('whole', 'incomplete', 'broken', 'revoked')
    ORDER BY appended_at LIMIT {_MOST}
"""  # noqa: S608 - names of ours; every value is a bound parameter
Event = tuple[int, bytes]


class Others(NamedTuple):
    """What other seals say of events by time and key; `are_whole`: whether every record of theirs is there."""

    said: dict[Event, set[Standing]]
    are_whole: bool

    def may_lack(self, event: Event) -> bool:
        """Tell whether *event* may have no standing: another seal decides, and waits for records."""
        return event in self.said and not self.are_whole

    def may_say(self, event: Event, standing: str) -> bool:
        """Tell whether another seal gives *event* this *standing*."""
        return standing in self.said.get(event, ())


def other_seals(clickhouse: ClickHouse, policy: Policy, verify: Verify, row: SealRow) -> Others:
    """Return what the other seals of the logger in *row* say by *policy* that were judged and name a number of it.

    Raises:
        StorageError: ClickHouse is away (retriable) or refuses (permanent).
    """
    values = {
        "producer": row.producer_id,
        "service": row.service,
        "hash": row.seal_hash.hex(),
        "first": row.first_seq,
        "last": row.last_seq,
    }
    said: dict[Event, set[Standing]] = {}
    are_whole = True
    for values_of in clickhouse.query(_OTHERS, values).rows:
        made = judged_round(clickhouse, policy, verify, [Carrier(*values_of)], is_alone=True)
        for other in made.rows:
            are_whole = are_whole and other.verdict is SealState.WHOLE
            for event, standing in (other.judgement.standings if other.judgement else {}).items():
                said.setdefault(event, set()).add(standing)
    return Others(said, are_whole)
