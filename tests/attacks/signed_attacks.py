"""Attacks by who holds a key that was stolen or taken back: what nobody else would have signed."""

import shutil
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from msgspec import structs

from attack import Who, on_copy
from attack_scene import HOUR_MS, LOG, OPERATOR, AttackedLog, Commit
from made_keys import made_key
from sealing_scene import Logger
from time_stamp_authority import MadeAuthority
from trailhouse.anchoring.anchor_store import AnchorStore, Receipt
from trailhouse.anchoring.timestamps import TimestampClient
from trailhouse.operate.erase.blank import blank
from trailhouse.proof.anchor import Anchor, OrderHash, anchor_name, file_sha256, parse_anchor
from trailhouse.proof.checkpoint import Checkpoint
from trailhouse.proof.erasure import Order, erasure_name
from trailhouse.proof.keys import note_signed
from trailhouse.store.erasures import store_order

NOW = "SETTINGS mutations_sync = 2"
STRANGER = made_key(77)


def _anchored(log: AttackedLog, edit: Callable[[Anchor], dict[str, Any]]) -> None:
    """Sign and store the next anchor, with what *edit* makes other than in the last one."""
    text = log.one("SELECT anchor FROM log_anchors WHERE number = 3")
    before, _ = parse_anchor(text)
    fields = {"number": 4, "previous_sha256": file_sha256(text), **edit(before)}
    made = structs.replace(before, **fields)
    content = note_signed(made.text, log.keys.log, anchor_name(LOG))
    log.sql(
        "INSERT INTO log_anchors VALUES ({number:UInt64}, {text:String})",
        number=made.number,
        text=content,
    )


@on_copy(Who.CLICKHOUSE, "anchors", key=True)
def a_number_of_anchors_is_passed_over(log: AttackedLog) -> None:
    _anchored(log, lambda before: {"number": 5})


@on_copy(Who.CLICKHOUSE, "anchors", key=True)
def an_anchor_is_dated_before_the_one_before(log: AttackedLog) -> None:
    _anchored(log, lambda before: {"at_ms": before.at_ms - HOUR_MS})


@on_copy(Who.CLICKHOUSE, "anchors", key=True)
def an_anchor_says_that_a_log_is_larger(log: AttackedLog) -> None:
    def larger(before: Anchor) -> dict[str, Any]:
        first, *others = before.checkpoints
        return {"checkpoints": (first._replace(size=10**6, root=bytes(32)), *others)}

    _anchored(log, larger)


@on_copy(Who.CLICKHOUSE, "anchors", key=True)
def an_anchor_says_that_a_log_had_another_root(log: AttackedLog) -> None:
    def other(before: Anchor) -> dict[str, Any]:
        first, *others = before.checkpoints
        return {"checkpoints": (first._replace(root=bytes(32)), *others)}

    _anchored(log, other)


@on_copy(Who.CLICKHOUSE, "manifests", key=True)
def an_anchor_says_that_a_day_had_other_sessions(log: AttackedLog) -> None:
    log.anchor_under(log.policy())
    text = log.one("SELECT anchor FROM log_anchors ORDER BY number DESC LIMIT 1")
    before, _ = parse_anchor(text)
    assert before.manifests or log.one("SELECT count() FROM session_manifests")
    log.sql(
        "INSERT INTO session_manifests SELECT * REPLACE (toFixedString('x', 32) AS root)"
        " FROM session_manifests WHERE kafka_partition = 0"
    )


@on_copy(Who.CLICKHOUSE, "erasures", key=True)
def an_anchor_names_an_order_that_nobody_gave(log: AttackedLog) -> None:
    _anchored(log, lambda before: {"orders": (OrderHash(1, "0" * 64),)})


@on_copy(Who.CLICKHOUSE, "policy", key=True)
def an_anchor_names_a_policy_to_come(log: AttackedLog) -> None:
    _anchored(log, lambda before: {"policy_version": 9, "policy_sha256": "0" * 64})


@on_copy(Who.CLICKHOUSE, "leaves", key=True)
def a_checkpoint_of_more_leaves_than_there_are_is_signed(log: AttackedLog) -> None:
    text = log.one(
        "SELECT any(checkpoint) FROM log_checkpoints WHERE kafka_partition = 2 AND size = 6"
    )
    origin = text.split("\n")[0]
    forged = note_signed(Checkpoint(origin, 60, bytes(range(32))).text, log.keys.log, origin)
    log.sql(
        "INSERT INTO log_checkpoints SELECT * REPLACE ({text:String} AS checkpoint, 60 AS size) FROM"
        " (SELECT * FROM log_checkpoints WHERE kafka_partition = 2 AND size = 6 LIMIT 1)",
        text=forged,
    )


@on_copy(Who.PRODUCER, "seals")
def a_services_revoked_key_seals_on(log: AttackedLog) -> None:
    """After the last anchor for which it counts."""
    agents, tools = log.policy().services
    second = log.policy(
        version=2,
        previous=log.policy().sha256,
        services=(structs.replace(agents, last_anchor=3), tools),
    )
    log.publish(second)
    log.anchor_under(second)
    thief = Logger("agents", "p66", log.keys.agents.signer)
    events = [thief.log(tenant_id="a", session_id="s0"), thief.seal(is_last=True)]
    log.store_more(Commit({2: events}, {2: 6}, 60_000))
    log.judge(second)


@on_copy(Who.OPERATOR, "erasures")
def an_operators_revoked_key_erases(log: AttackedLog) -> None:
    (ops,) = log.policy().operators
    second = log.policy(
        version=2, previous=log.policy().sha256, operators=(structs.replace(ops, last_anchor=3),)
    )
    log.publish(second)
    log.anchor_under(second)
    at = "kafka_partition = 2 AND kafka_offset = 3"
    digest = bytes.fromhex(log.one(f"SELECT hex(SHA256(record)) FROM event_log WHERE {at}"))
    order = Order(LOG, "erase", 1, "ops", log.keys.now_ms, 4, "asked for", (digest,))
    store_order(log.clickhouse, order, note_signed(order.text, OPERATOR, erasure_name(LOG)))
    blank(log.clickhouse, [digest])
    log.anchor_under(second)


@on_copy(Who.ALL, "anchors", needs="anchors")
def a_kept_anchor_points_to_an_older_one(log: AttackedLog) -> None:
    *_, first, last = sorted(log.folder.rglob("*.anchor"))
    last.unlink()
    last.symlink_to(first)


@on_copy(Who.ALL, "anchors", needs="anchors")
def a_strangers_anchor_is_put_beside_the_kept_ones(log: AttackedLog) -> None:
    last = max(log.folder.rglob("*.anchor"))
    before, _ = parse_anchor(last.read_text())
    made = structs.replace(before, number=4, previous_sha256=file_sha256(last.read_text()))
    content = note_signed(made.text, STRANGER, anchor_name(LOG))
    (last.parent / last.name.replace("3.", "4.")).write_text(content)


def _with_tokens(log: AttackedLog, edit: Callable[[list[bytes]], list[bytes]]) -> None:
    """Name an authority, anchor twice, and store what *edit* makes of the tokens over both."""
    folder = Path(tempfile.mkdtemp())
    try:
        authority = MadeAuthority(folder)
        log.anchor_under(
            log.policy()
        )  # else what is stored would wait until this case had its turn
        policy = log.policy(
            version=2, previous=log.policy().sha256, authorities=(authority.named(),)
        )
        log.publish(policy)
        store = AnchorStore(log.clickhouse, LOG, lambda _: [log.keys.log.public_key])
        with authority.served() as url:
            for _ in range(2):
                # Now: an authority stamps by its own clock, however old the copied log is.
                log.anchor_under(policy, round(time.time() * 1_000))
            anchors = [store.at(number) for number in (5, 6)]
            made = [
                TimestampClient(url).countersign(each).receipts[0].receipt
                for each in anchors
                if each
            ]
        for anchor, token in zip(anchors, edit(made), strict=True):
            assert anchor is not None
            if token:
                store.note(anchor, [Receipt("timestamped", url, receipt=token)])
    finally:
        shutil.rmtree(folder)


@on_copy(Who.CLICKHOUSE, "anchors")
def the_tokens_of_two_anchors_change_places(log: AttackedLog) -> None:
    _with_tokens(log, lambda made: made[::-1])


@on_copy(Who.CLICKHOUSE, "anchors")
def a_byte_of_a_token_is_changed(log: AttackedLog) -> None:
    _with_tokens(
        log, lambda made: [made[0], made[1][:-3] + bytes([made[1][-3] ^ 1]) + made[1][-2:]]
    )


@on_copy(Who.NOBODY)
def an_authority_has_stamped_every_anchor(log: AttackedLog) -> None:
    _with_tokens(log, lambda made: made)
