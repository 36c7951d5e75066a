"""What ClickHouse makes of stored leaves with `--quick`: roots of 32 of them, or each by itself, as we would."""

from collections.abc import Iterator
from itertools import groupby

import pytest

from trailhouse.operate.verify.leaves.blocks import BLOCK, blocks_of_logs
from trailhouse.operate.verify.leaves.stream import leaves_of_logs
from trailhouse.operate.verify.logs import Bounds, all_logs
from trailhouse.proof.merkle import root_of
from trailhouse.store import ClickHouseConfig
from verified_log import VerifiedLog

pytestmark = pytest.mark.cluster
END = 400


@pytest.fixture
def log(database: ClickHouseConfig) -> Iterator[VerifiedLog]:
    """Return a log of two partitions whose leaves are stored, with holes, a copy, and two that say different things."""
    made = VerifiedLog(database)
    for partition in (0, 1):
        made.append([b"%d" % number for number in range(100 + partition)], partition)
        made.append([None, *(b"%d" % number for number in range(155))], partition, holes_before=3)
        made.append([b"%d" % number for number in range(40)], partition)
    made.attack("INSERT INTO log_leaves SELECT * FROM log_leaves WHERE kafka_offset = 133")
    made.attack(
        "INSERT INTO log_leaves SELECT * REPLACE (appended_ms + 1 AS appended_ms) FROM log_leaves"
        " WHERE kafka_offset = 200 AND kafka_partition = 1"
    )
    with made.clickhouse:
        yield made


def test_roots_are_those_of_the_leaves(log: VerifiedLog) -> None:
    """A root stands for 32 leaves without hole, copy or checkpoint between them; all others come as they did."""
    bounds = {each: Bounds(0, END) for each in all_logs(log.clickhouse)}
    for each in bounds:
        by_leaf = [
            pair
            for _, leaves in leaves_of_logs(log.clickhouse, {each: bounds[each]}, is_hashed=True)
            for pair in zip(leaves.offsets, leaves.digests, strict=True)
        ]
        of_block = {
            number: list(same)
            for number, same in groupby(by_leaf, key=lambda pair: pair[0] // BLOCK)
        }
        found = [
            (offset, digest, blocks.is_whole)
            for of, blocks in blocks_of_logs(log.clickhouse, bounds)
            for offset, digest in zip(blocks.offsets, blocks.hashes, strict=True)
            if of == each
        ]
        signed_within = {100 // BLOCK, 259 // BLOCK}
        broken = signed_within | {
            number
            for number, pairs in of_block.items()
            if [offset for offset, _ in pairs] != list(range(number * BLOCK, (number + 1) * BLOCK))
        }
        assert (200 // BLOCK in broken) is (each.partition == 1)
        assert len(of_block[259 // BLOCK]) == BLOCK
        whole = {offset // BLOCK: digest for offset, digest, is_whole in found if is_whole}
        assert whole.keys() == of_block.keys() - broken
        for number, digest in whole.items():
            assert digest == root_of([hashed for _, hashed in of_block[number]])
        assert [pair[:2] for pair in found if not pair[2]] == [
            pair for number in sorted(broken) for pair in of_block[number]
        ]
