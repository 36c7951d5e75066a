"""Seals that are to be judged are found among all that is stored, by reading little of it."""

import re
from collections.abc import Mapping
from typing import Any

import pytest

from trailhouse.attesting.stored_seals import new_carriers
from trailhouse.store import ClickHouse, ClickHouseConfig
from trailhouse.store.clickhouse import Result

pytestmark = pytest.mark.cluster

EVENTS, SEALS = 100_000, 5


class Asked(ClickHouse):
    """Keeps the plan of each statement."""

    plans: list[str]

    def query(
        self, sql: str, parameters: Mapping[str, Any] | None = None, **options: Any
    ) -> Result:
        """Answer as ClickHouse does."""
        rows = super().query(f"EXPLAIN indexes = 1 {sql}", parameters).rows
        self.plans.append("\n".join(line.strip() for (line,) in rows))
        return super().query(sql, parameters, **options)


def test_new_seals_are_found_in_the_granules_that_have_seals(database: ClickHouseConfig) -> None:
    """A worker asks for them every few seconds: it must not read the types of the whole log."""
    with Asked(database) as clickhouse:
        clickhouse.plans = []
        clickhouse.command(
            "INSERT INTO event_log (session_id, event_id, record_key, type, occurred_us, record, kafka_offset)"
            f" SELECT if(number < {SEALS}, concat('seal:', toString(number)), concat('s-', toString(number % 5000))),"
            " generateUUIDv4(number), substring(SHA256(toString(number)), 1, 16),"
            f" if(number < {SEALS}, 'audit_sealed', 'message_sent'), 1770000000000000, '{{}}', number"
            f" FROM numbers({EVENTS})"
        )
        assert [each.offset for each in new_carriers(clickhouse)] == list(range(SEALS))
        [plan] = clickhouse.plans
    granules = re.findall(r"Granules: (\d+)/(\d+)", plan)
    total, chosen = int(granules[0][1]), int(granules[-1][0])
    assert total > 10
    assert chosen <= 2, f"expected the granules of {SEALS} seals, not {chosen} of {total}:\n{plan}"


def test_seals_below_those_that_were_judged_are_new_where_kafka_has_cut_a_log_off(
    database: ClickHouseConfig,
) -> None:
    """What Kafka takes then stands at offsets that were passed; elsewhere what is below was judged."""

    def put(offsets: str) -> None:
        clickhouse.command(
            "INSERT INTO event_log (session_id, event_id, record_key, type, occurred_us, record, kafka_topic_id,"
            " kafka_partition, kafka_offset) SELECT 'seal:p', generateUUIDv4(offset),"
            " substring(SHA256(toString((part, offset))), 1, 16), 'audit_sealed', 1770000000000000, '{}', 't', part,"
            f" offset FROM (SELECT arrayJoin([0, 1]) AS part, arrayJoin({offsets}) AS offset)"
        )

    def new() -> list[tuple[int, int]]:
        return [(each.partition, each.offset) for each in new_carriers(clickhouse)]

    with ClickHouse(database) as clickhouse:
        put("[40, 50]")
        clickhouse.command(
            "INSERT INTO seal_checks (seal_key, kafka_topic_id, kafka_partition, kafka_offset)"
            " SELECT record_key, kafka_topic_id, kafka_partition, kafka_offset FROM event_log"
        )
        put("[10, 60]")
        assert new() == [(0, 60), (1, 60)]
        clickhouse.command(
            "INSERT INTO event_incidents (kafka_topic_id, kafka_partition, first_offset, last_offset, kind)"
            " VALUES ('t', 1, 5, 54, 'truncated')"
        )
        assert new() == [(0, 60), (1, 10), (1, 60)]
