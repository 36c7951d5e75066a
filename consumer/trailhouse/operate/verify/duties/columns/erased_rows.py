"""Rows whose record was erased: what an order leaves of them, and nothing that the record has said."""

from trailhouse.consumer.batch.blank_rows import BLANKS
from trailhouse.operate.verify.finding import Findings
from trailhouse.operate.verify.run import Run

_AT_ONCE = 10_000
_MOST = 10_000
_NOT_BLANK = " OR ".join(
    f"isNotNull({name})" if blank is None else f"{name} != ''"
    for name, blank in BLANKS.items()
    if name != "record"
)
_SQL = f"""
    SELECT kafka_topic, kafka_topic_id, kafka_partition, kafka_offset FROM event_log
    WHERE record = '' AND hex(record_key) IN {{keys:Array(String)}} AND ({_NOT_BLANK}) LIMIT {_MOST}
"""  # noqa: S608 - names of ours; every value is a bound parameter
_SEVERAL = f"""
    SELECT kafka_topic, kafka_topic_id, kafka_partition, kafka_offset FROM event_log
    WHERE record = '' AND record_key IN (
        SELECT record_key FROM event_log WHERE record = '' AND hex(record_key) IN {{keys:Array(String)}}
        GROUP BY record_key
        HAVING uniqExact(session_id, tenant_id, event_id, type, occurred_us, producer_id, ifNull(seq, 0), isNull(seq))
            > 1
    ) LIMIT {_MOST}
"""  # noqa: S608 - as above
_MEANING = {
    _SQL: "the record was erased, and columns that it filled are not blank: they were filled since",
    _SEVERAL: "the record was erased, and of several rows of it not all say the same: one was changed or added",
}


def check_erased_rows(run: Run, found: Findings) -> None:
    """Tell the rows of erased records that say what no row without a record can say."""
    keys = sorted({digest[:16].hex().upper() for digest in run.orders.erased})
    for begin in range(0, len(keys), _AT_ONCE):
        for sql, meaning in _MEANING.items():
            rows = run.clickhouse.query(sql, {"keys": keys[begin : begin + _AT_ONCE]}).rows
            for topic, topic_id, partition, offset in rows:
                found.add(
                    "columns",
                    log=f"{topic}/{topic_id}/{partition}",
                    first_offset=int(offset),
                    table="event_log",
                    meaning=meaning,
                    way_out="`trailhouse erase --reapply`"
                    if sql is _SQL
                    else "keep the row that a backup of before the erasure has, and delete the others",
                )
    if keys:
        run.trusts(
            "session, tenant, type, number and time of what was erased: no record is left to derive them from"
        )
