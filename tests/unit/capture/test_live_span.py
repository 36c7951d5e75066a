"""What is read of spans: the same past an SDK's properties as by them, and times to the microsecond."""

import datetime as dt
import random
from types import SimpleNamespace

from trailhouse.capture.otel.live_span import ended, reader_of_ids, started
from trailhouse.capture.otel.times import moment

NANOSECONDS = 10**9
SAID = {"gen_ai.operation.name": "chat"}


def test_another_sdks_span_is_read_by_its_properties() -> None:
    """A span without the SDK's own fields says the same by what every span has."""
    context, status = SimpleNamespace(trace_id=1, span_id=2), SimpleNamespace(_name_="ERROR")
    scope = SimpleNamespace(name="bot")
    public = SimpleNamespace(
        context=context, parent=None, name="chat", instrumentation_scope=scope, attributes=SAID,
        status=SimpleNamespace(status_code=status), end_time=5,
    )  # fmt: skip
    own = SimpleNamespace(
        _context=context, _parent=None, _name="chat", _instrumentation_scope=SimpleNamespace(_name="bot"),
        _attributes=SimpleNamespace(_dict=SAID), _status=SimpleNamespace(_status_code=status), _end_time=5,
    )  # fmt: skip
    assert started(public) == started(own) == (context, None, "chat", "bot", SAID)
    assert ended(public) == ended(own) == (context, SAID, "ERROR", 5)


def test_a_span_of_no_scope_is_read() -> None:
    """A span that no instrumentation names has an empty scope."""
    span = SimpleNamespace(
        context=None, parent=None, name="x", instrumentation_scope=None, attributes=None
    )
    assert started(span) == (None, None, "x", "", {})


def test_ids_are_read_of_any_context() -> None:
    """Where a context is no tuple of ids, its properties tell them; where it is, both say the same."""
    ids = reader_of_ids()
    try:
        from opentelemetry.trace import SpanContext
    except ImportError:
        assert ids(SimpleNamespace(trace_id=7, span_id=9)) == (7, 9)
    else:
        assert ids(SpanContext(7, 9, is_remote=False)) == (7, 9)


def test_a_time_is_exact_to_the_microsecond() -> None:
    """No time of a span is rounded up, and none is off by one for being read as a fraction."""
    epoch = dt.datetime(1970, 1, 1, tzinfo=dt.UTC)
    chosen = random.Random(7)  # noqa: S311 - the same numbers in every run
    for seconds in (0, 1_800_000_000, 2**32 - 1, 2**32, 2**33):
        for _ in range(2_000):
            unix_ns = seconds * NANOSECONDS + chosen.randrange(NANOSECONDS)
            assert moment(unix_ns) == epoch + dt.timedelta(microseconds=unix_ns // 1_000)
