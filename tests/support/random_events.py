"""Events and filters drawn at random from what is awkward: texts, numbers, times, ties, ids that are there twice."""

import datetime as dt
import os
import random
import uuid
from collections.abc import Sequence
from decimal import Decimal
from typing import Any

from search_oracle import columns
from trailhouse.query import Condition, SearchFilter, Words
from trailhouse.query.filtering.search_filter import COMPARISONS, FIELDS, OUTCOMES
from trailhouse.schemas import Actor, AuditEvent
from trailhouse.schemas.errors import QueryError

UTC = dt.UTC
ODD = (
    "s", "s ", " s", "s\0", "\0", "s\0\0", "'", "\\", "\\'", '"', "`", "a\nb", "\t", "ÿ", "ÿÿ", "😀", "é", "%", "_",
    "{x}", "{:,[1]}", "s\\", "--", "null", "0", "\\N", "s/1", "\u2028", "\x7f", "S", "ſ",
)  # fmt: skip
"""Texts that databases and their formats have taken for something else."""
SAID = (
    *(each for each in ODD if not any(sign.isdigit() for sign in each)),
    *("+", "-", ",", ":", "{", "}", "[", "]", "},", '":', "{x", "x}", "1,", "e"),
)
"""Of these, what is not part of a number: numbers have several spellings."""
TYPES = (
    "message_sent", "tool_call_started", "tool_call_completed", "tool_call_failed", "run_started", "run_completed",
    "run_failed", "run_cancelled", "run_timeout", "session_started", "session_paused", "token_usage_updated",
    "model_call_completed", "model_call_failed", "error_occurred", "custom.x_failed", "a_passed",
    "tool_approval_granted", "x",
)  # fmt: skip
MOMENTS = tuple(
    dt.datetime.fromisoformat(f"{text}+00:00")
    for text in (
        "2026-01-01T00:00:00", "2026-01-01T00:00:00.000001", "2026-10-31T23:59:59.999999", "2025-10-26T00:30:00",
        "0001-01-01T00:00:00", "1899-12-31T23:59:59.999999", "1900-01-01T00:00:00", "1969-12-31T23:59:59.999999",
        "1970-01-01T00:00:00", "2106-02-07T06:28:16", "2149-06-07T00:00:00", "2299-12-31T23:59:59.999999",
        "2300-01-01T00:00:00", "9999-12-31T23:59:59.999999",
    )
)  # fmt: skip
"""Where months and summer times end, and where the times of ClickHouse's types, of Unix and of Python do."""
COUNTS = (
    0,
    1,
    7,
    2**31,
    2**32,
    2**53 + 1,
    2**63 - 1,
    2**63,
    2**64 - 1,
    2**64,
    -1,
    1.5,
    "7",
    "tool_approval_granted",
    "x",
    None,
    True,
    1e3,
    -0.0,
)
COSTS = (
    0, 0.5, "0.5", "0.000000000000000001", -0.25, "-1", "99999999999999999999.999999999999999999", 1e-7, 3, 0.1, "0.10",
    1e19, 1e300, "1e3", "x", "1e-30", "NaN", None, True, "100000000000000000000",
    "99999999999999999999.9999999999999999996", " 1", "+1", "0.0000000000000000001",
)  # fmt: skip
DURATIONS = (0, 0.5, 1500, 1e18, -0.0, -5, 2**63, 5e-324, 1.7976931348623157e308, "5", None)
OTHERS = (7, 7.0, -0.0, 1e22, 2**70, True, None, "")
TEXT_FIELDS = ("run_id", "parent_run_id", "agent_id", "provider", "correlation_id", "trace_id")


def seeds(variable: str, default: str) -> list[int]:
    """Return the seeds of a campaign, such as 1-200, from the environment."""
    first, _, last = os.environ.get(variable, default).partition("-")
    return list(range(int(first), int(last or first) + 1))


def drawn_id(draw: random.Random, version: int = 7) -> str:
    """Return an id of an event, or of a producer."""
    number = draw.getrandbits(128) & ~(0xF << 76) & ~(0x3 << 62)
    return str(uuid.UUID(int=number | version << 76 | 0x2 << 62))


def drawn_events(draw: random.Random, count: int) -> list[AuditEvent]:
    """Return *count* events of a few sessions, tenants and moments."""
    sessions, tenants = draw.sample(ODD, 5), ("", "", *draw.sample(ODD, 3))
    words, runs = draw.sample(ODD, 6), draw.sample(ODD, 4)
    ties = [MOMENTS[0] + dt.timedelta(microseconds=draw.randrange(5)) for _ in range(3)]
    moments = [*draw.sample(MOMENTS, 6), *ties]
    made: list[AuditEvent] = []
    for n in range(count):
        fields: dict[str, Any] = {
            name: draw.choice(runs if "run" in name else words)
            for name in TEXT_FIELDS
            if draw.random() < 0.6
        }
        if draw.random() < 0.5:
            fields["actor"] = Actor(type=draw.choice(words), id=draw.choice(words))
        fields["event_id"] = drawn_id(draw, draw.choice((4, 7)))
        fields["session_id"], fields["tenant_id"] = draw.choice(sessions), draw.choice(tenants)
        if (
            made and draw.random() < 0.1
        ):  # an id again: in the same session or another, of any tenant
            before = draw.choice(made)
            for name in (
                "event_id",
                *(n for n in ("session_id", "tenant_id") if draw.random() < 0.6),
            ):
                fields[name] = getattr(before, name)
        fields["tenant_id"] = fields["tenant_id"] or None
        made.append(
            AuditEvent(
                type=draw.choice(TYPES),
                occurred_at=draw.choice(moments),
                data=_data(draw, words, n),
                **fields,
            )
        )
    return made


def _data(draw: random.Random, words: Sequence[str], n: int) -> dict[str, Any]:
    data: dict[str, Any] = {}
    for names, values in (
        (("input_tokens", "output_tokens", "total_tokens"), COUNTS),
        (("cost_usd",), COSTS),
        (("duration_ms",), DURATIONS),
        (("tool_name", "tool_call_id", "model", "error_code", "approval_id"), (*words, *OTHERS)),
    ):
        data |= {name: draw.choice(values) for name in names if draw.random() < 0.4}
    if draw.random() < 0.5:
        data["said"] = {draw.choice(ODD): [draw.choice(ODD), draw.choice((1, 0.1, *OTHERS))]}
    return {"token_usage": data, "n": n} if draw.random() < 0.2 else data


def drawn_filter(draw: random.Random, events: Sequence[AuditEvent]) -> SearchFilter:
    """Return a filter for what is mostly there."""
    conditions = [_condition(draw, events) for _ in range(draw.choice((0, 1, 1, 2, 3)))]
    words = [
        Words(text=draw.choice(SAID), whole=draw.random() < 0.5, negated=draw.random() < 0.3)
        for _ in range(draw.choice((0, 0, 1)))
    ]
    bounds: dict[str, dt.datetime] = {}
    if draw.random() < 0.5:
        times = sorted(draw.choice(events).occurred_at for _ in range(2))
        named = zip(("since", "until"), times, strict=True)
        bounds = {name: at for name, at in named if draw.random() < 0.7}
    kept = tuple(each for each in conditions if each is not None)
    return SearchFilter(conditions=kept, words=tuple(words), **bounds)


def _condition(draw: random.Random, events: Sequence[AuditEvent]) -> Condition | None:
    name = draw.choice([name for name in FIELDS if name != "standing"])
    negated = draw.random() < 0.3
    if draw.random() < 0.15:
        return Condition(field=name, operator="has", negated=negated)
    known = [value for each in events if (value := columns(each)[name]) is not None] or [1]
    kind = FIELDS[name].kind
    if kind == "outcome":
        values = tuple(draw.choices(OUTCOMES, k=draw.choice((1, 2))))
        return Condition(field=name, values=values, negated=negated)
    if kind == "text":
        drawn = [
            draw.choice((draw.choice(known), draw.choice(ODD)))
            for _ in range(draw.choice((1, 1, 3)))
        ]
        return Condition(field=name, values=tuple(map(str, drawn)), negated=negated)
    value = draw.choice(known)
    exact = Decimal(repr(value)) if isinstance(value, float) else Decimal(value)
    exact += draw.choice((0, 0, 0, 1, -1))
    try:
        return Condition(
            field=name, operator=draw.choice(COMPARISONS), values=(exact,), negated=negated
        )
    except QueryError:  # it is larger, or finer, than a filter may ask for
        return None
