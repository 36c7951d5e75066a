"""What a block binds and who inherits it: calls, tasks, threads, generators, forks, and nobody else."""

import asyncio
import contextvars
import enum
import os
import threading
import uuid
from collections.abc import AsyncIterator, Generator
from types import SimpleNamespace
from typing import Any

import pytest

from trailhouse.producer import AuditLogger, ProducerConfig
from trailhouse.producer.testing import InMemoryAuditLogger
from trailhouse.schemas import Actor, AuditEvent, Run, Session
from trailhouse.schemas.errors import InvalidEventError

SESSION = Session(
    "s1", agent_id="helper", tenant_id="acme", status="open", metadata={"plan": "pro"}
)
RUN = Run("r1", "s1", status="running", provider="p", metadata={"try": 2})
PERSON = {"type": "user", "id": "u-17"}


class Kind(str, enum.Enum):  # noqa: UP042 - whose own text is not its value
    """What sessions of a program may be named by."""

    CHAT = "chat"


def who(event: AuditEvent) -> tuple[str | None, ...]:
    """Return what an event says of where it belongs."""
    return event.session_id, event.run_id, event.parent_run_id, event.tenant_id, event.agent_id


def bound_to(audit: InMemoryAuditLogger) -> str | None:
    """Return the session that is bound now."""
    return audit.context.session_id


def test_a_call_inherits_what_it_does_not_name(audit: InMemoryAuditLogger) -> None:
    """Every kind of call in a block has the fields that are bound, and those of a run need no arguments."""
    bound = {"actor": PERSON, "correlation_id": "c", "trace_id": "t", "span_id": "sp"}
    with audit.bind(session=SESSION, run=RUN, **bound):  # type: ignore[arg-type]
        audit.log_run_started()
        audit.log("tool_call_started", data={"tool_name": "search"})
        audit.log_usage_metrics(metrics={"input_tokens": 1})
        audit.log_error(error=ValueError("v"))
        audit.log_run_failed(error=ValueError("v"))
        audit.log_run_cancelled(error=ValueError("v"))
        audit.log_run_completed(result={"cost_usd": 1})

    assert [event.type for event in audit.events] == [
        "run_started", "tool_call_started", "token_usage_updated", "error_occurred", "run_failed", "run_cancelled",
        "run_completed",
    ]  # fmt: skip
    for event in audit.events:
        assert who(event) == ("s1", "r1", None, "acme", "helper")
        assert event.actor == Actor(**PERSON)
        assert (event.correlation_id, event.trace_id, event.span_id, event.provider) == (
            "c", "t", "sp", "p",
        )  # fmt: skip
    assert audit.events[0].data == {"agent_id": "helper", "run_status": "running"}


@pytest.mark.parametrize(
    ("session", "run"),
    [
        (SESSION, RUN),
        ({"id": "s1", "agent_id": "helper", "tenant_id": "acme"}, {"id": "r1", "provider": "p"}),
        (SimpleNamespace(id="s1", agent_id="helper", tenant_id="acme"), SimpleNamespace(id="r1")),
        (Session("s1", agent_id="helper", tenant_id="acme"), "r1"),
    ],
)
def test_runs_and_sessions_are_taken_in_every_form(
    audit: InMemoryAuditLogger, session: object, run: object
) -> None:
    """Structs, mappings, objects and plain ids are bound alike; a UUID as its text."""
    with audit.bind(session=session, run=run):
        audit.log("a")
    number = uuid.uuid4()
    with audit.bind(session=Kind.CHAT):
        assert bound_to(audit) == "chat"
    with audit.bind(session=number, run=number, tenant_id="t"):
        audit.log("b")
        audit.log_run_started("r9", "s9")

    first, second, third = audit.events
    assert who(first) == ("s1", "r1", None, "acme", "helper")
    assert who(second) == (str(number), str(number), None, "t", None)
    assert who(third) == ("s9", "r9", str(number), "t", None)


def test_a_run_alone_brings_its_session(audit: InMemoryAuditLogger) -> None:
    """A run that is bound without its session names the one that it has."""
    with audit.bind(run=RUN):
        audit.log("a")

    assert audit.only("a").session_id == "s1"


def test_what_wins_over_what() -> None:
    """Named in the call, then the innermost bind, then the outer one, then the logger, then the settings."""
    settings = ProducerConfig(tenant_id="settings")
    assert tenant_in_call(InMemoryAuditLogger(settings)) == "settings"
    audit = InMemoryAuditLogger(settings, tenant_id="logger")
    assert tenant_in_call(audit) == "logger"
    with audit.bind(tenant_id="outer"):
        assert tenant_in_call(audit) == "outer"
        with audit.bind(tenant_id="inner", agent_id=None):
            assert tenant_in_call(audit) == "inner"
            assert tenant_in_call(audit, tenant_id="call") == "call"
            with audit.bind(agent_id="a"):
                assert tenant_in_call(audit) == "inner", "a bind that names no tenant changes none"
        assert tenant_in_call(audit) == "outer"
    assert tenant_in_call(audit) == "logger"


def tenant_in_call(audit: InMemoryAuditLogger, **named: Any) -> str | None:
    """Return the tenant of an event that is logged now."""
    audit.log("a", session_id="s", **named)
    return audit.events[-1].tenant_id


def test_a_child_run_has_the_outer_one_as_its_parent(audit: InMemoryAuditLogger) -> None:
    """A run bound or named inside another is its child, unless it names its own parent; the same run is not."""
    with audit.bind(session="s", run=Run("r1", "s", parent_run_id="r0")):
        audit.log("outer")
        audit.log("same", run_id="r1")
        audit.log("named_in_call", run_id="r2")
        audit.log_run_started(Run("r2", "s"))
        with audit.bind(run="r2"):
            audit.log("child")
            with audit.bind(agent_id="x"):
                audit.log("still_child")
            with audit.bind(run={"id": "r3"}):
                audit.log("grandchild")
        with audit.bind(run=Run("r2", "s", parent_run_id="other")):
            audit.log("adopted")
        with audit.bind(run="r2", parent_run_id="given"):
            audit.log("given")

    assert [(event.type, event.run_id, event.parent_run_id) for event in audit.events] == [
        ("outer", "r1", "r0"), ("same", "r1", "r0"), ("named_in_call", "r2", "r1"), ("run_started", "r2", "r1"),
        ("child", "r2", "r1"), ("still_child", "r2", "r1"), ("grandchild", "r3", "r2"),
        ("adopted", "r2", "other"), ("given", "r2", "given"),
    ]  # fmt: skip


def test_what_run_and_session_say_of_themselves_is_logged(audit: InMemoryAuditLogger) -> None:
    """Metadata of run and session and the session's status are in the events that begin and end a run."""
    with audit.bind(session=SESSION, run=RUN):
        audit.log_run_started()
        audit.log_error(error="e")
        audit.log_run_completed(Run("other", "s1"), result={"stop_reason": "end_turn"})
    audit.log_run_failed(RUN, SESSION, "e")
    audit.log_run_started("r1", "s1")
    audit.log_run_started(
        SimpleNamespace(id="r", metadata=object()), SimpleNamespace(id="s", status=3)
    )

    session = {"session_metadata": {"plan": "pro"}, "session_status": "open"}
    full = {"run_metadata": {"try": 2}, **session}
    assert [event.metadata for event in audit.events] == [full, {}, session, full, {}, {}]


def test_a_wrong_bind_is_refused_where_it_is_made(audit: InMemoryAuditLogger) -> None:
    """What no event could have is refused by name when it is bound, and nothing is bound."""
    for wrong, field in [
        ({"session": ""}, "session_id"), ({"session": {"name": "s"}}, "session_id"), ({"run": object()}, "run_id"),
        ({"session": 7}, "session_id"), ({"tenant_id": 7}, "tenant_id"), ({"agent_id": "x" * 257}, "agent_id"),
        ({"actor": {"type": "user"}}, "actor"), ({"actor": "u"}, "actor"),
    ]:  # fmt: skip
        with pytest.raises(InvalidEventError) as refused:
            audit.bind(**wrong)  # type: ignore[arg-type]
        assert refused.value.field == field
    with pytest.raises(InvalidEventError, match="actor"):
        InMemoryAuditLogger(actor={"type": "user"})
    with pytest.raises(InvalidEventError, match=r"run_id: must be a string.*int"):
        audit.log_usage_metrics("s", {}, run_id=7)  # type: ignore[arg-type]  # a wrong type on purpose
    assert bound_to(audit) is None


def test_without_a_bind_a_session_is_asked_for(audit: InMemoryAuditLogger) -> None:
    """After the block nothing is bound, whether it ended well or by an error."""
    with audit.bind(session="s", run="r"):
        pass
    with pytest.raises(ZeroDivisionError), audit.bind(session="s"):
        raise ZeroDivisionError
    with pytest.raises(InvalidEventError, match="session_id: is missing"):
        audit.log("a")


def test_the_context_can_be_read_and_taken_along(audit: InMemoryAuditLogger) -> None:
    """What is bound is given by the block and by the logger, for another process to bind."""
    with audit.bind(session=SESSION, run=RUN, actor=PERSON) as context:
        assert context == audit.context
        assert (context.session_id, context.run_id, context.tenant_id) == ("s1", "r1", "acme")
        assert context.actor == Actor(**PERSON)


def test_a_bind_is_one_loggers_own(audit: InMemoryAuditLogger) -> None:
    """What one logger binds does not reach another, which may be another tenant's."""
    other = InMemoryAuditLogger(tenant_id="other")
    with audit.bind(session="s", tenant_id="acme", run="r"):
        other.log("a", session_id="t")
        with pytest.raises(InvalidEventError, match="session_id"):
            other.log("a")

    assert who(other.only("a")) == ("t", None, None, "other", None)


def test_emit_inherits_nothing(audit: InMemoryAuditLogger) -> None:
    """An event that exists is sent as it is, to the last byte, whatever is bound."""
    event = AuditEvent(type="a", session_id="s")
    with audit.bind(session="t", run="r", tenant_id="acme"):
        audit.emit(event)

    assert audit.records == [event.record]


def test_tasks_inherit_and_keep(audit: InMemoryAuditLogger) -> None:
    """A task begun in a block has what is bound, also after the block; what it binds is its own."""

    async def work(name: str, go: asyncio.Event) -> None:
        await go.wait()
        audit.log(f"{name}.late")
        async with audit.bind(run=f"run-{name}"):
            await asyncio.sleep(0)
            audit.log(f"{name}.bound")

    async def main() -> None:
        go = asyncio.Event()
        async with audit.bind(session="s", run="r"):
            tasks = [asyncio.create_task(work(name, go)) for name in "ab"]
            await asyncio.to_thread(audit.log, "in_a_thread_of_asyncio")
            await asyncio.sleep(0)
        go.set()
        await asyncio.gather(*tasks)
        assert audit.context.run_id is None

    asyncio.run(main())

    assert who(audit.only("in_a_thread_of_asyncio"))[:2] == ("s", "r")
    for name in "ab":
        assert who(audit.only(f"{name}.late"))[:3] == ("s", "r", None)
        assert who(audit.only(f"{name}.bound"))[:3] == ("s", f"run-{name}", "r")


def test_a_new_thread_does_not_inherit_unless_given_a_copy(audit: InMemoryAuditLogger) -> None:
    """A thread begins with nothing bound; in a copy of the context it inherits, and harms nobody's."""

    def work(name: str) -> None:
        audit.log(name, **({} if audit.context.session_id else {"session_id": "none"}))  # type: ignore[arg-type]
        audit.bind(run="thread").__enter__()  # never left: a thread's own

    with audit.bind(session="s", run="r"):
        copy = contextvars.copy_context()
        for begin in (lambda: work("new"), lambda: copy.run(work, "copy")):
            thread = threading.Thread(target=begin)
            thread.start()
            thread.join(120)
        assert audit.context.run_id == "r"

    assert [who(event)[:2] for event in audit.events] == [("none", None), ("s", "r")]


def test_generators_that_end_out_of_order_leave_nothing_bound(audit: InMemoryAuditLogger) -> None:
    """Blocks left in another order than they were entered take off their own layer, and no other."""

    def generate(name: str) -> Generator[None]:
        with audit.bind(session=name, tenant_id=name):
            yield

    first, second = generate("first"), generate("second")
    next(first)
    next(second)
    assert bound_to(audit) == "second"
    first.close()
    assert bound_to(audit) == "second"
    second.close()
    assert bound_to(audit) is None
    assert audit.context.tenant_id is None


def test_a_generator_that_is_abandoned_in_a_task_leaves_nothing_bound(
    audit: InMemoryAuditLogger,
) -> None:
    """An async generator that is ended in another context than it began in stays bound nowhere."""

    async def stream() -> AsyncIterator[int]:
        with audit.bind(session="streamed", tenant_id="acme"):
            yield 1
            yield 2

    async def main() -> None:
        generator = stream()
        async for _ in generator:
            break
        assert bound_to(audit) == "streamed"
        await asyncio.create_task(generator.aclose())  # type: ignore[attr-defined]  # as the loop's own hooks do
        assert bound_to(audit) is None
        with audit.bind(session="next"):
            assert audit.context.tenant_id is None, "nothing of a block that is over is inherited"

    asyncio.run(main())


def test_blocks_may_be_as_deep_as_calls_can_be(audit: InMemoryAuditLogger) -> None:
    """Neither a deep stack of blocks nor leaving it from below is an error."""
    binds = [audit.bind(session="s", run=f"r{number}") for number in range(2_000)]
    for bind in binds:
        bind.__enter__()
    for bind in binds[:-1]:
        bind.__exit__(None, None, None)
    assert audit.context.run_id == "r1999"
    binds[-1].__exit__(None, None, None)
    assert bound_to(audit) is None


def test_a_bind_is_entered_once(audit: InMemoryAuditLogger) -> None:
    """Entering the same bind again is an error that says what to do, and what is bound stays."""
    bind = audit.bind(session="s")
    with bind, pytest.raises(RuntimeError, match="call `bind` again"):
        bind.__enter__()
    assert bound_to(audit) is None


def test_a_forked_child_inherits(audit: InMemoryAuditLogger) -> None:
    """A child forked in a block goes on with what is bound, and its leaving changes nothing here."""
    with audit.bind(session="s", run="r"):
        if (child := os.fork()) == 0:
            audit.log("child")
            os._exit(0 if who(audit.events[-1])[:2] == ("s", "r") else 1)
        assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
        assert audit.context.run_id == "r"


def test_a_logger_that_is_let_go_is_freed() -> None:
    """Neither bind nor switch keeps a logger alive, in a cycle or otherwise."""
    import weakref

    audit: AuditLogger | None = InMemoryAuditLogger()
    assert audit is not None
    with audit.bind(session="s"):
        audit.log("a")
    gone = weakref.ref(audit)
    audit = None
    assert gone() is None


@pytest.fixture
def audit() -> InMemoryAuditLogger:
    """Return a logger that keeps what it logs in memory."""
    return InMemoryAuditLogger()
