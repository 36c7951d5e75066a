"""Attacks by an operator, or by whoever has his key: what is held is erased, and nobody is to see that."""

from attack import Who, on_copy
from attack_scene import LOG, OPERATOR, AttackedLog
from trailhouse.operate.erase.blank import blank
from trailhouse.proof.erasure import Order, OrderKind, erasure_name, hold_key
from trailhouse.proof.keys import note_signed
from trailhouse.store.erasures import store_order

_AT = "kafka_partition = 2 AND kafka_offset = 3"
MINUTE_MS = 60_000


def _ordered(
    log: AttackedLog, kind: OrderKind, number: int, *digests: bytes, ago_ms: int, anchor: int = 3
) -> None:
    at_ms = log.keys.now_ms - ago_ms
    order = Order(LOG, kind, number, "ops", at_ms, anchor, "asked for", digests)
    store_order(log.clickhouse, order, note_signed(order.text, OPERATOR, erasure_name(LOG)))


def _erased(log: AttackedLog, number: int, *, ago_ms: int, anchor: int = 3) -> None:
    digest = bytes.fromhex(log.one(f"SELECT hex(SHA256(record)) FROM event_log WHERE {_AT}"))
    _ordered(log, "erase", number, digest, ago_ms=ago_ms, anchor=anchor)
    blank(log.clickhouse, [digest])


@on_copy(Who.OPERATOR, "erasures")
def what_is_held_is_erased(log: AttackedLog) -> None:
    _ordered(log, "hold", 1, hold_key("session", "old"), ago_ms=MINUTE_MS)
    _erased(log, 2, ago_ms=0)


@on_copy(Who.OPERATOR, "erasures")
def what_is_held_is_erased_by_an_order_that_is_dated_back(log: AttackedLog) -> None:
    """At the time that it names nothing was held yet."""
    _ordered(log, "hold", 1, hold_key("session", "old"), ago_ms=MINUTE_MS)
    _erased(log, 2, ago_ms=10 * MINUTE_MS)


@on_copy(Who.OPERATOR, "erasures")
def an_order_names_an_earlier_anchor_than_the_one_before(log: AttackedLog) -> None:
    """As whoever has a key that was revoked at that anchor would."""
    _ordered(log, "hold", 1, hold_key("session", "s1"), ago_ms=MINUTE_MS)
    _erased(log, 2, ago_ms=0, anchor=1)


@on_copy(Who.NOBODY)
def a_hold_is_lifted_and_the_record_erased(log: AttackedLog) -> None:
    _ordered(log, "hold", 1, hold_key("session", "old"), ago_ms=3 * MINUTE_MS)
    log.anchor_under(log.policy())
    _ordered(log, "lift", 2, hold_key("session", "old"), ago_ms=2 * MINUTE_MS)
    _erased(log, 3, ago_ms=MINUTE_MS)
    log.anchor_under(log.policy())


@on_copy(Who.NOBODY)
def two_operators_take_one_number(log: AttackedLog) -> None:
    """At the same time; the second is stored after the first was anchored."""
    log.order("hold", 1, hold_key("session", "s0"))
    log.anchor_under(log.policy())
    log.order("hold", 1, hold_key("session", "s1"))
    log.anchor_under(log.policy())
