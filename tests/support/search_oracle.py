"""Events that a search is asked about, and what Python finds among them: the oracle of its tests."""

import datetime as dt
import json
import re
import uuid
from collections.abc import Callable, Iterator, Sequence
from decimal import Decimal
from typing import Any

from airline_fleet import fleet
from stored import event
from trailhouse.consumer.batch.promoted import promote
from trailhouse.proof.standing import Standing
from trailhouse.query import AuditReader, Condition, Page, SearchFilter, Words
from trailhouse.query.filtering.search_filter import FIELDS, OUTCOMES
from trailhouse.query.search.found import FoundEvent
from trailhouse.schemas import Actor, AuditEvent, decode
from trailhouse.schemas.record_hash import record_key

UTC = dt.UTC
EVER = "until:9999-12-31T23:59:59.999999Z"
INJECTIONS = [
    "' OR 1=1 --", "'; DROP TABLE event_log; --", "\\", "\\'", "%", "_", "*", "?", "[a-z]+", ".*", "{f0:String}", "$1",
    "{{x}}", "a\0b", "\n", "\t", '"', "`", "/", "\u202eevil", "é", "ﬁ", "😀", "NULL", "0", "-1", "\x1b[31m", " x ",
    "\u2028", "</script>", "' UNION SELECT record FROM event_log --", "OR", "a OR b",
]  # fmt: skip


def hostile() -> list[AuditEvent]:
    """Return events with any text in every field, of the first and the last year, twins and a spelling of their own."""
    moment = dt.datetime(2026, 10, 2, tzinfo=UTC)
    made = [
        _any_text(text, moment + dt.timedelta(minutes=place % 3))
        for place, text in enumerate(INJECTIONS)
    ]
    times = [
        dt.datetime(1, 1, 1, tzinfo=UTC),
        dt.datetime(9999, 12, 31, 23, 59, 59, 999_999, tzinfo=UTC),
    ]
    made += [
        event("edges", event_id=_id(str(at)), occurred_at=at, data={"cost_usd": "0.1"})
        for at in times
    ]
    # One id with two contents: a conflict, and two events.
    made += [
        event("twins", event_id=_id("twin"), occurred_at=moment, data={"place": place})
        for place in range(2)
    ]
    foreign = (
        '{ "type":"custom.check_failed", "session_id":"foreign", "occurred_at":"2026-10-02T00:00:00Z", "event_id":'
        f'"{_id("foreign")}", "schema_version":1,'
        ' "data": {"gr\\u00fc\\u00dfe" : "caf\\u00e9 \\/ bar", "amount": 47.50} }'
    )
    return [*made, decode(foreign.encode())]


def _any_text(text: str, moment: dt.datetime) -> AuditEvent:
    return event(
        f"hostile {text}",
        event_id=_id(text),
        occurred_at=moment,
        **dict.fromkeys(
            ("tenant_id", "run_id", "agent_id", "provider", "correlation_id", "trace_id", "parent_run_id"), text
        ),
        actor=Actor(type=text, id=text),
        data={
            **dict.fromkeys(("model", "tool_name", "tool_call_id", "error_code"), text),
            "said": {text: [text]},
        },
    )  # fmt: skip


def _id(text: str) -> str:
    return str(uuid.uuid5(uuid.NAMESPACE_OID, text))


EVENTS = (*fleet()[:2_000], *hostile())


def columns(each: AuditEvent) -> dict[str, Any]:
    """Return what *each* says in each field of a filter, None where it says nothing; nobody stands behind any."""
    promoted = promote(each.data)
    last_word = re.split(r"[_.]", each.type)[-1]
    actor = each.actor or Actor(type="", id="")
    found = (
        each.session_id, each.run_id, each.parent_run_id, each.tenant_id, each.agent_id, each.type, each.provider,
        promoted[0], promoted[1], promoted[2], last_word if last_word in OUTCOMES else None, actor.id, actor.type,
        each.correlation_id, each.trace_id, promoted[3], promoted[7], promoted[6], promoted[4],
        promoted[5], Standing.UNATTESTED, promoted[8],
    )  # fmt: skip
    return {name: value if value != "" else None for name, value in zip(FIELDS, found, strict=True)}


def texts_of(value: object) -> Iterator[str]:
    """Yield every text in *value*: keys, strings, and numbers in their shortest form."""
    if isinstance(value, dict):
        for name, inner in value.items():
            yield name
            yield from texts_of(inner)
    elif isinstance(value, list):
        for inner in value:
            yield from texts_of(inner)
    elif isinstance(value, float) and value.is_integer():
        yield str(int(value))
    else:
        yield value if isinstance(value, str) else json.dumps(value)


def has(each: AuditEvent, words: Words) -> bool:
    """Tell whether *each* has the words in its data."""
    if not words.whole:
        return any(words.text in text for text in texts_of(each.data))
    alone = re.compile(rf"(?<!\w){re.escape(words.text)}(?!\w)")
    return any(alone.search(text) for text in texts_of(each.data))


COMPARE: dict[str, Callable[[Any, Any], bool]] = {
    "=": lambda one, other: one == other,
    ">": lambda one, other: one > other,
    ">=": lambda one, other: one >= other,
    "<": lambda one, other: one < other,
    "<=": lambda one, other: one <= other,
}


def meets(each: AuditEvent, condition: Condition) -> bool:
    """Tell whether *each* meets the condition, its negation aside."""
    value = columns(each)[condition.field]
    if value is None or condition.operator == "has":
        return value is not None
    value = Decimal(repr(value)) if isinstance(value, float) else value
    return any(COMPARE[condition.operator](value, wanted) for wanted in condition.values)


def answer(wanted: SearchFilter, events: Sequence[AuditEvent] = EVENTS) -> list[AuditEvent]:
    """Return the events that *wanted* describes, the newest first."""
    found = [
        each
        for each in events
        if all(meets(each, condition) is not condition.negated for condition in wanted.conditions)
        and all(has(each, words) is not words.negated for words in wanted.words)
        and (wanted.since is None or each.occurred_at >= wanted.since)
        and (wanted.until is None or each.occurred_at <= wanted.until)
    ]
    return sorted(found, key=time_order, reverse=True)


def time_order(each: AuditEvent) -> tuple[Any, ...]:
    """Return what events are ordered by."""
    tenant = (each.tenant_id or "").encode()
    return each.occurred_at, each.session_id.encode(), tenant, record_key(each.record)


def walk(
    reader: AuditReader, wanted: SearchFilter | str, **how: Any
) -> tuple[list[AuditEvent], list[Page[FoundEvent]]]:
    """Return the events of all pages, and the pages."""
    pages = [reader.search(wanted, **how)]
    while pages[-1].next is not None:
        assert len(pages) < 2_000
        pages.append(reader.search(wanted, **how, cursor=pages[-1].next))
    found = [each for page in pages for each in page.items]
    assert [each.problem for each in found if each.problem] == []
    return [each.event for each in found if each.event is not None], pages


def events_of(page: Page[FoundEvent]) -> list[AuditEvent]:
    """Return the events of one page."""
    assert [each.problem for each in page.items if each.problem] == []
    return [each.event for each in page.items if each.event is not None]


def same(found: Sequence[AuditEvent], expected: Sequence[AuditEvent]) -> None:
    """Check that two lists of events are the same to the last byte."""
    assert [each.record for each in found] == [each.record for each in expected]
