"""Reads a block of the worker's as ClickHouse would, by another's decoder: clickhouse-connect's."""

from collections.abc import Iterator
from typing import Any

import msgspec
from clickhouse_connect.driver.query import QueryContext, QueryResult
from clickhouse_connect.driver.transform import NativeTransform
from clickhouse_connect.driverc.buffer import (  # type: ignore[import-not-found]  # compiled, without types
    ResponseBuffer,
)

from trailhouse.store import Block
from trailhouse.store.block import Column
from trailhouse.store.native_format import encode


class _Body:
    """What a response's buffer reads from."""

    exception_tag = None

    def __init__(self, content: bytes) -> None:
        self.gen: Iterator[bytes] = iter([content])

    def close(self) -> None:
        """There is nothing to close."""


def values_of(block: Block, name: str) -> list[Any]:
    """Return the values of a column, those of an encoded one decoded: times in ms, UUIDs as text."""
    place = block.names.index(name)
    values = block.columns[place]
    if not isinstance(values, Column):
        return list(values)
    only = msgspec.structs.replace(
        block, names=(name,), types=(block.types[place],), columns=(values,)
    )
    context = QueryContext(
        query_formats={"UUID": "string", "DateTime64*": "int"}, column_formats={"record": "bytes"}
    )
    answer = NativeTransform().parse_response(ResponseBuffer(_Body(encode(only))), context)
    assert isinstance(answer, QueryResult)
    [found] = answer.result_columns
    return list(found)
