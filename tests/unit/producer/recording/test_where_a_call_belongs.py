"""Which run a call belongs to: the innermost that is known, or none; and what is known when a start is logged."""

from trailhouse.producer.recording.run import Run
from trailhouse.producer.recording.usage import Usage
from trailhouse.producer.testing import InMemoryAuditLogger

CALL = Usage(input_tokens=10, output_tokens=2)


def test_a_run_is_named_as_its_start_is_logged(audit_log: InMemoryAuditLogger) -> None:
    """What becomes known between the opening and the start is in the start."""

    def name(run: Run) -> None:
        run.name(session_id="s-1", agent_id="bot")

    run = audit_log.recorder.open_run(source="otel", is_deferred=True, before_start=name)
    run.end()
    started = audit_log.only("run_started")
    assert (started.session_id, started.agent_id) == ("s-1", "bot")


def test_a_name_that_cannot_be_found_harms_no_run(audit_log: InMemoryAuditLogger) -> None:
    """A start is logged although naming its run raises."""

    def name(run: Run) -> None:
        raise LookupError(run.id)

    audit_log.recorder.open_run("s-1", source="otel", is_deferred=True, before_start=name).end()
    assert [event.type for event in audit_log.events] == ["run_started", "run_completed"]


def test_a_finder_knows_of_a_run_within_the_bound_one(audit_log: InMemoryAuditLogger) -> None:
    """The current run is the innermost, whether it is bound or found; what is undone is not asked."""
    recorder = audit_log.recorder
    with audit_log.run("s-1") as outer:
        inner = recorder.open_run(source="otel")
        other = recorder.open_run("s-2", source="otel", parent=None)
        found = [inner]
        undo = recorder.find_current_by(lambda: found[0])
        assert recorder.current is inner
        with inner.bound(), audit_log.run() as innermost:
            assert recorder.current is innermost
        found[0] = other
        assert recorder.current is outer
        found[0] = inner
        undo()
        assert recorder.current is outer


def test_what_is_called_outside_of_runs_has_a_session_alone(audit_log: InMemoryAuditLogger) -> None:
    """A tool or model call of nobody's run is logged in its session, or its trace's, and without a run."""
    recorder = audit_log.recorder
    for session_id, expected in (("s-1", "s-1"), (None, "t-1")):
        outside = recorder.outside_runs(session_id, source="otel", trace_id="t-1")
        outside.use(CALL)
        outside.tool_call("search").start().complete()
        assert [event.type for event in audit_log.events] == [
            "token_usage_updated",
            "tool_call_started",
            "tool_call_completed",
        ]
        places = {(event.session_id, event.run_id, event.trace_id) for event in audit_log.events}
        assert places == {(expected, None, "t-1")}
        audit_log.clear()


def test_a_reporter_may_see_the_same_response_id_again(audit_log: InMemoryAuditLogger) -> None:
    """A call is recorded once for two reporters, and again for one that vouches for its own."""
    with audit_log.run("s-1") as run:
        run.use(CALL, call_id="r-1", source="otel")
        run.use(CALL, call_id="r-1", source="otel")
        run.use(CALL, call_id="r-1", source="langchain")
        run.use(CALL, call_id="r-1")
    assert len([event for event in audit_log.events if event.type == "token_usage_updated"]) == 2


def test_an_open_call_is_found_by_its_id_or_its_tool(audit_log: InMemoryAuditLogger) -> None:
    """The call of a run that is open is found by its id, else by its tool; an ended one is not."""
    recorder = audit_log.recorder
    with audit_log.run("s-1") as run, audit_log.run() as child:
        first = run.tool_call("search", call_id="c-1").start()
        second = run.tool_call("search", call_id="c-2").start()
        assert recorder.open_call(run, "search", "c-2") is second
        assert recorder.open_call(run, "search", "c-3") is first
        assert recorder.open_call(child, "search", "c-2") is None
        first.complete()
        assert recorder.open_call(run, "search") is second
        second.complete()
        assert recorder.open_call(run, "search") is None


def test_a_tool_of_a_server_is_found_by_the_servers_name(audit_log: InMemoryAuditLogger) -> None:
    """The call of an MCP server's tool is found by its client's name and by the server's, and by no part of one."""
    recorder = audit_log.recorder
    with audit_log.run("s-1") as run, run.tool_call("mcp__files__read_it") as call:
        assert recorder.open_call(run, "mcp__files__read_it") is call
        assert recorder.open_call(run, "read_it") is call
        assert recorder.open_call(run, "it") is None
    with audit_log.run("s-1") as run, run.tool_call("our__read_it"):
        assert recorder.open_call(run, "read_it") is None


def test_what_an_adapter_works_on_is_as_good_as_bound(audit_log: InMemoryAuditLogger) -> None:
    """A run that an adapter says it works on is the current one, and the parent of what is opened."""
    recorder = audit_log.recorder
    worked_on = recorder.open_run("s-1", source="claude_agent")
    recorder.bind_by(lambda: worked_on)
    assert recorder.bound is recorder.current is worked_on
    with audit_log.run() as child:
        assert recorder.bound is child
    assert (child.session_id, child.parent_run_id) == ("s-1", worked_on.id)
    worked_on.end()
