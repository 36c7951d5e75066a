"""Duty 13: orders of erasure are an operator's, were carried out, and none was given while a hold was in force."""

from collections.abc import Sequence

from trailhouse.operate.verify.duties.erasures.order_history import (
    tell_after_revocation,
    tell_backdated,
    tell_gone,
)
from trailhouse.operate.verify.duty import Checked, Duty
from trailhouse.operate.verify.finding import Findings
from trailhouse.operate.verify.run import Run
from trailhouse.proof.erasure import Order, hold_key, holds_in_force
from trailhouse.schemas.ranges import Ranges
from trailhouse.store.erasures import StoredOrders

_AT_ONCE = 10_000
_LEFT = """
    SELECT 'event_log', kafka_topic, kafka_topic_id, kafka_partition, kafka_offset FROM event_log
    WHERE record != '' AND hex(SHA256(record)) IN {digests:Array(String)}
    UNION ALL
    SELECT 'event_quarantine', kafka_topic, kafka_topic_id, kafka_partition, kafka_offset FROM event_quarantine
    WHERE record != '' AND hex(record_hash) IN {digests:Array(String)}
"""
_ROWS = """
    SELECT DISTINCT hex(record_key), session_id, toString(tenant_id), toString(event_id) FROM event_log
    WHERE hex(record_key) IN {keys:Array(String)}
"""


def check(run: Run, found: Findings) -> Checked:
    """Look at every order, and for what they name."""
    stored = run.orders
    _tell_forged(found, stored)
    _tell_missing(found, stored)
    tell_gone(found, run.anchored, stored.orders)
    tell_backdated(found, stored.orders)
    if stored.orders:
        tell_after_revocation(run, found, stored.orders)
    for digests_of in _batches(list(stored.erased)):
        digests = [digest.hex().upper() for digest in digests_of]
        for table, topic, topic_id, partition, offset in run.clickhouse.query(
            _LEFT, {"digests": digests}
        ).rows:
            found.add(
                "not_erased",
                log=f"{topic}/{topic_id}/{partition}",
                first_offset=int(offset),
                table=table,
                meaning="an operator has ordered this record to be erased, and it is there: it has come back",
                way_out="`trailhouse erase --reapply`",
            )
    for order in stored.orders:
        if order.kind == "erase":
            _tell_held(run, found, order, stored.orders)
    tell_gone(found, run.anchored_outside, stored.orders)
    return Checked(len(stored.orders), "orders")


def _tell_forged(found: Findings, stored: StoredOrders) -> None:
    for fault in stored.faults:
        found.add(
            "forged_order",
            table="log_erasures",
            name=fault.removeprefix("erasure: "),
            meaning="a stored order is no operator's, or was given by a key that counted no longer; it orders nothing",
            way_out="delete it; what was blanked by it is to be restored",
        )
    for number in stored.misfiled:
        found.add(
            "order_misfiled",
            table="log_erasures",
            name=f"order {number}",
            meaning="its row has another number or kind than the operator has signed, and readers go by the row",
            way_out="delete the row, and store the order again",
            count=1,
        )


def _tell_missing(found: Findings, stored: StoredOrders) -> None:
    numbers = {order.number for order in stored.orders}
    for missing in Ranges([(1, max(numbers, default=0))] if numbers else []) - Ranges.of(numbers):
        found.add(
            "order_missing",
            table="log_erasures",
            name=f"order {missing.first}" + (f" to {missing.last}" if missing.size > 1 else ""),
            meaning="each order has the number after the one before, and this one is not there: it was taken away",
            way_out="restore log_erasures; what the order held may have been erased since, or what it erased come back",
        )


def _batches(digests: Sequence[bytes]) -> list[tuple[bytes, ...]]:
    return [tuple(digests[at : at + _AT_ONCE]) for at in range(0, len(digests), _AT_ONCE)]


def _tell_held(run: Run, found: Findings, order: Order, orders: Sequence[Order]) -> None:
    held = holds_in_force(orders, order.at_ms)
    if not held:
        return
    for digests in _batches(order.digests):
        keys = [digest[:16].hex().upper() for digest in digests]
        for _, session, tenant, event in run.clickhouse.query(_ROWS, {"keys": keys}).rows:
            of = (
                hold_key("everything"),
                hold_key("session", session),
                hold_key("tenant", tenant),
                hold_key("event", event),
            )
            if held & set(of):
                found.add(
                    "erased_under_hold",
                    table="log_erasures",
                    name=f"order {order.number}",
                    meaning="it was ordered while a legal hold was in force on what it names",
                    way_out="restore the records from a backup, and ask the operator",
                )


DUTY = Duty(
    13,
    "erasures",
    "orders of erasure against operators' keys, holds, and what is left",
    check,
    is_scoped=True,
)
