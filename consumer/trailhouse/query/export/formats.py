"""What an export holds in each format: the SELECT that ClickHouse writes by itself. Pure."""

from enum import StrEnum

RESPELLED, ALTERED, ERASED = b"\x01", b"\x02", b"\x03"
"""What a line begins with that is no record as it was stored: none of them can stand in JSON."""


class ExportFormat(StrEnum):
    """How an export is written.

    `jsonl` holds the records, to the byte; the others hold columns, Parquet and Arrow the record beside them.
    """

    JSONL = "jsonl"
    CSV = "csv"
    PARQUET = "parquet"
    ARROW = "arrow"


_IS_ALTERED = "substring(SHA256(record), 1, 16) != record_key"
IS_ERASED = "(record = '' AND record_key IN (SELECT toFixedString(substring(digest, 1, 16), 16) FROM erasures))"
"""A blank row that an order of erasure names; any other blank row was altered."""
_TEXTS = (
    "type", "session_id", "run_id", "parent_run_id", "agent_id", "tenant_id", "actor_type", "actor_id", "provider",
    "model", "tool_name", "tool_call_id", "error_code", "correlation_id", "trace_id",
)  # fmt: skip
_NUMBERS = ("input_tokens", "output_tokens", "total_tokens", "cost_usd", "duration_ms")
CSV_COLUMNS = ("event_id", "occurred_at", *_TEXTS, *_NUMBERS, "data")
_BLANKS = r"\x00-\x20\x7f-\xa0" + "".join(
    f"{first}-{last}"
    for first, last in (
        *(("\u1680", "\u1680"), ("\u2000", "\u200f"), ("\u2028", "\u202f"), ("\u205f", "\u2064")),
        *(("\u3000", "\u3000"), ("\ufeff", "\ufeff")),
    )
)
FORMULA = rf"^([\t\r]|[{_BLANKS}]*[=+\-@＝＋－＠])"
"""What a spreadsheet would run: it skips blanks, and takes wide signs for narrow ones. For Python and for RE2."""


def _guarded(column: str, name: str) -> str:
    pattern = FORMULA.replace("\\", "\\\\")
    return f"if(match({column}, '{pattern}'), concat('\\'', {column}), {column}) AS {name}"


_COLUMNS = {
    ExportFormat.JSONL: f"""
        multiIf(
            {{is_erased}}, '\\x03',
            {_IS_ALTERED}, concat('\\x02', toString(event_id)),
            position(record, '\\n') > 0 OR position(record, '\\r') > 0,
            concat('\\x01', translate(record, '\\n\\r', '  ')),
            record
        ) AS line""",
    ExportFormat.CSV: ", ".join(
        (
            "toString(event_id) AS event_id_text",
            _guarded("JSONExtractString(record, 'occurred_at')", "occurred_text"),
            *(_guarded(f"toString({name})", f"{name}_text") for name in _TEXTS),
            *_NUMBERS,
            _guarded("JSONExtractRaw(record, 'data')", "data_text"),
        )
    ),
}
_COLUMNAR = ", ".join(
    (
        "toString(event_id) AS event_id_text, occurred_at, occurred_us",
        *(f"toString({name}) AS {name}_text" for name in _TEXTS),
        "toString(producer_id) AS producer_id_text, seq",
        *_NUMBERS,
        "schema_version, record, lower(hex(record_key)) AS record_key_text, toString(kafka_topic) AS kafka_topic_text",
        "toString(kafka_topic_id) AS kafka_topic_id_text, kafka_partition, kafka_offset, appended_at",
        f"NOT {{is_erased}} AND {_IS_ALTERED} AS is_altered, {{is_erased}} AS is_erased",
    )
)
_WIRE = {
    ExportFormat.JSONL: "TabSeparatedRaw",
    ExportFormat.CSV: "CSV",
    ExportFormat.PARQUET: "Parquet",
    ExportFormat.ARROW: "Arrow",
}
SETTINGS = {
    "output_format_parquet_string_as_string": "1",
    "output_format_parquet_compression_method": "zstd",
    "output_format_compression_level": "1",
    "output_format_parquet_row_group_size": "65536",
    "output_format_parquet_max_dictionary_size": "65536",  # of a megabyte the records fill one in vain: 7 % larger
    "output_format_arrow_string_as_string": "1",
    "output_format_arrow_low_cardinality_as_dictionary": "0",
    "max_block_size": "4096",
    "max_threads": "1",
}
"""Small pieces: what is written must not fill the memory of either side. One thread: sessions are read in order, and
several would each merge all parts once more, and wait for one another (a fifth more of the engine as JSON lines)."""


def columns_of(format: ExportFormat, *, sees_erasures: bool) -> str:
    """Return what is selected from `events` for *format*, for a reader that may see the orders of erasure or not."""
    selected = _COLUMNS.get(format, _COLUMNAR)
    return selected.replace("{is_erased}", IS_ERASED if sees_erasures else "false")


def wire_format(format: ExportFormat) -> str:
    """Return ClickHouse's name of *format*."""
    return _WIRE[format]


def header_of(format: ExportFormat) -> bytes:
    """Return what a file of *format* begins with beside what ClickHouse writes."""
    if format is not ExportFormat.CSV:
        return b""
    return ",".join(f'"{name}"' for name in CSV_COLUMNS).encode() + b"\n"
