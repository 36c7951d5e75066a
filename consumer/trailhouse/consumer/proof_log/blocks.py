"""From leaves, nodes and checkpoints to the blocks of their tables. Pure."""

import datetime as dt
from array import array
from collections.abc import Iterable, Sequence
from itertools import chain
from typing import Any, NamedTuple

from trailhouse.broker.origin import ORIGIN_COLUMNS, Origin
from trailhouse.consumer.proof_log.growth import LogNode, LogState
from trailhouse.consumer.proof_log.leaves import ReadLeaves
from trailhouse.proof.origin import LogOrigin
from trailhouse.store.block import Block, Table
from trailhouse.store.tables import LOG_CHECKPOINTS, LOG_LEAVES, LOG_NODES


class CheckpointRow(NamedTuple):
    """A checkpoint to be stored: of which state, and its text, signed where there is a key."""

    state: LogState
    text: str


def leaf_block(origin: Origin, parts: Sequence[tuple[LogOrigin, ReadLeaves]]) -> Block:
    """Return *parts*, each of a log, as a block of `log_leaves`."""
    counts = [len(part.offsets) for _, part in parts]
    columns: dict[str, Any] = {
        "kafka_partition": _repeated("H", [log.partition for log, _ in parts], counts),
        "generation": list(
            chain.from_iterable(
                [log.generation] * count for (log, _), count in zip(parts, counts, strict=True)
            )
        ),
        "kafka_offset": _joined("Q", [part.offsets for _, part in parts]),
        "kind": _joined("B", [part.kinds() for _, part in parts]),
        "appended_ms": _joined("Q", [part.appended_ms for _, part in parts]),
        "digest": list(chain.from_iterable(part.digests for _, part in parts)),
    }
    return _block(LOG_LEAVES, origin, columns, sum(counts))


def node_block(origin: Origin, rows: Sequence[LogNode]) -> Block:
    """Return *rows* as a block of `log_nodes`."""
    columns: dict[str, Any] = {
        "kafka_partition": [log.partition for log, _ in rows],
        "generation": [log.generation for log, _ in rows],
        "level": [node.level for _, node in rows],
        "node_index": [node.number for _, node in rows],
        "hash": [node.root for _, node in rows],
    }
    return _block(LOG_NODES, origin, columns, len(rows))


def checkpoint_block(origin: Origin, rows: Sequence[CheckpointRow], at: dt.datetime) -> Block:
    """Return *rows* as a block of `log_checkpoints`."""
    columns: dict[str, Any] = {
        "kafka_partition": [row.state.origin.partition for row in rows],
        "generation": [row.state.origin.generation for row in rows],
        "size": [row.state.size for row in rows],
        "roots": [row.state.roots for row in rows],
        "checkpoint": [row.text for row in rows],
        "written_at": [round(at.timestamp() * 1_000)] * len(rows),
    }
    return _block(LOG_CHECKPOINTS, origin, columns, len(rows))


def _block(table: Table, origin: Origin, columns: dict[str, Any], row_count: int) -> Block:
    for name, value in zip(ORIGIN_COLUMNS, origin, strict=True):
        columns[name] = (value,) * row_count
    return table.block(columns)


def _repeated(code: str, values: Iterable[int], counts: Iterable[int]) -> "array[int]":
    whole = array(code)
    for value, count in zip(values, counts, strict=True):
        whole += array(code, (value,)) * count
    return whole


def _joined(code: str, parts: Iterable[Sequence[int]]) -> "array[int]":
    whole = array(code)
    for part in parts:
        whole.extend(part)
    return whole
