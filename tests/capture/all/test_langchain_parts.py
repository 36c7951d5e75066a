"""Parts of LangChain: chains, models and tools by themselves and within runs, and what the adapter leaves unharmed."""

from collections.abc import Iterator
from typing import Any

import pytest
from langchain_core.documents import Document
from langchain_core.prompts import ChatPromptTemplate
from langchain_core.retrievers import BaseRetriever
from langchain_core.runnables import RunnableLambda, RunnableParallel
from langchain_core.tools import tool
from tests.capture.all.langchain_scenes import (
    Count,
    ScriptedModel,
    StreamingModel,
    agent,
    asks,
    calls,
    count,
    fail,
    graph,
    logged,
    only_run,
    runs_of,
    says,
    search,
    thread,
    used,
)

from capture_rules import check_same_outcome
from trailhouse.capture.langchain import install
from trailhouse.producer.testing import InMemoryAuditLogger
from trailhouse.schemas import SpoolFullError


@pytest.fixture(autouse=True)
def installed(audit: InMemoryAuditLogger) -> Iterator[None]:
    """Record what LangChain does, and stop recording it afterwards."""
    undo = install(audit)
    yield
    undo()


def test_a_plain_chain_is_one_run(audit: InMemoryAuditLogger) -> None:
    """A chain's prompts, parsers and branches are scaffolding."""
    model = ScriptedModel(answers=[says("yes")])
    chain = (
        ChatPromptTemplate.from_messages([("human", "{question}")])
        | model
        | RunnableParallel(text=RunnableLambda(lambda m: m.content), size=RunnableLambda(len_of))
    )
    chain.invoke({"question": "hi"}, {"metadata": {"session_id": "s-1"}})

    run = only_run(audit)
    assert run.start.session_id == "s-1"
    assert run.types == [
        "run_started",
        "message_received",
        "token_usage_updated",
        "message_sent",
        "run_completed",
    ]


def len_of(message: Any) -> int:
    return len(message.content)


def test_a_streamed_chain_has_its_question(audit: InMemoryAuditLogger) -> None:
    """The input of a streamed chain is known only at its end, and recorded all the same."""
    model = StreamingModel(answers=[says("one two")])
    chain = ChatPromptTemplate.from_messages([("human", "{question}")]) | model
    assert list(chain.stream({"question": "hi"}))

    run = only_run(audit)
    asked = next(event for event in run.events if event.type == "message_received")
    assert asked.data["content"] == {"question": "hi"}
    assert run.end.data["token_usage"] == used(1)


async def test_a_model_whose_stream_is_broken_off_was_cancelled(audit: InMemoryAuditLogger) -> None:
    """A bare model is a run; its broken-off stream failed for want of an end, and the run is cancelled."""
    model = StreamingModel(answers=[says("one two three")] * 2)
    stream = model.stream("hi")
    next(stream)
    stream.close()
    chunks = model.astream("hi")
    await anext(chunks)
    await chunks.aclose()
    await logged(audit, "run_cancelled", 2)

    for run in runs_of(audit):
        assert run.types[-2:] == ["model_call_failed", "run_cancelled"]


def test_within_a_run_models_tools_and_chains_are_part_of_it(audit: InMemoryAuditLogger) -> None:
    """What is no agent belongs to the run that is bound around it; an agent is its child."""
    with audit.run("s-1", agent_id="plain"):
        ScriptedModel(answers=[says("a")]).invoke("hi")
        search.invoke({"query": "x"})
        RunnableLambda(lambda value: value).invoke(1)
        agent(says("b")).invoke(asks(), thread())

    plain, child = runs_of(audit)
    assert plain.end.data["token_usage"] == used(1)
    assert plain.types.count("tool_call_completed") == 1
    assert child.start.parent_run_id == plain.run_id
    assert child.start.session_id == "s-1"
    assert child.start.metadata["framework_session_id"] == "t-1"


async def test_code_in_tools_and_nodes_finds_the_run(audit: InMemoryAuditLogger) -> None:
    """What is logged in a tool or a node belongs to its run, and nothing of it is left afterwards."""

    @tool
    async def note(query: str) -> str:
        """Take a note."""
        audit.log("turn_completed", data={"turn": 1})
        return query

    def node(state: Count) -> Count:
        with audit.run(agent_id="inside"):
            return count(state)

    await agent(calls(("note", "c-1")), says("done"), tools=[note]).ainvoke(asks(), thread())
    assert audit.context.run_id is None
    graph(("node", node)).invoke({"number": 1}, thread())
    await graph(("node", node)).ainvoke({"number": 1}, thread())
    assert audit.context.run_id is None

    first, *others = runs_of(audit)
    assert "turn_completed" in first.types
    assert [run.start.parent_run_id for run in others] == [
        None,
        others[0].run_id,
        None,
        others[2].run_id,
    ]


def test_a_retriever_is_no_run(audit: InMemoryAuditLogger) -> None:
    """A retriever alone leaves nothing, and what it asks a model is recorded."""
    model = ScriptedModel(answers=[says("better question"), says("again")])

    class Asking(BaseRetriever):
        def _get_relevant_documents(self, query: str, *, run_manager: Any) -> list[Document]:
            model.invoke(query, {"callbacks": run_manager.get_child()})
            return [Document(page_content=query)]

    Asking().invoke("x")
    (RunnableLambda(str) | Asking()).invoke("x")

    assert [run.start.agent_id for run in runs_of(audit)] == ["ScriptedModel", "RunnableSequence"]
    assert [run.end.data["token_usage"] for run in runs_of(audit)] == [used(1)] * 2


def test_a_tool_that_is_tried_again_has_two_calls(audit: InMemoryAuditLogger) -> None:
    """A retried tool has a start and an end for each try, though the model called it once."""
    from langchain.agents.middleware import ToolRetryMiddleware

    tries: list[int] = []

    @tool
    def flaky(query: str) -> str:
        """Fail once."""
        tries.append(1)
        if len(tries) == 1:
            raise ConnectionError("lost")
        return query

    retry = ToolRetryMiddleware(initial_delay=0.001, jitter=False)
    agent(calls(("flaky", "c-1")), says("done"), tools=[flaky], middleware=[retry]).invoke(asks())

    run = only_run(audit)
    ends = [
        event for event in run.events if event.type in ("tool_call_failed", "tool_call_completed")
    ]
    assert [event.data["tool_call_id"] for event in ends] == ["c-1", "c-1/2"]
    assert run.end.type == "run_completed"


def test_answers_from_a_cache_use_nothing(audit: InMemoryAuditLogger) -> None:
    """What LangChain answers from its own cache was no model call."""
    from langchain_core.caches import InMemoryCache

    model = ScriptedModel(answers=[says("yes")], cache=InMemoryCache())
    model.invoke("hi")
    model.invoke("hi")

    assert [run.types.count("token_usage_updated") for run in runs_of(audit)] == [1, 0]


def test_usage_that_is_not_given_is_missing(audit: InMemoryAuditLogger) -> None:
    """A model that says nothing of tokens has used an unknown number, not none."""
    from langchain_core.messages import AIMessage

    agent(AIMessage(content="done")).invoke(asks(), thread())

    assert only_run(audit).end.data["token_usage"] == {"usage_missing": True}


def test_a_run_id_that_is_given_twice_is_two_runs(audit: InMemoryAuditLogger) -> None:
    """An application that names two runs alike has two all the same."""
    import uuid

    config = thread() | {"run_id": uuid.uuid4()}
    two = graph(("count", count))
    two.invoke({"number": 1}, config)
    two.invoke({"number": 1}, config)

    assert len(runs_of(audit)) == 2


def test_installed_twice_records_once_and_undone_not_at_all(audit: InMemoryAuditLogger) -> None:
    """A second installation changes nothing, and undone is undone."""
    undo = install(audit)
    graph(("count", count)).invoke({"number": 1})
    assert len(runs_of(audit)) == 1

    undo()
    graph(("count", count)).invoke({"number": 1})
    assert len(runs_of(audit)) == 1


def test_a_full_spool_changes_nothing_for_the_application(audit: InMemoryAuditLogger) -> None:
    """What cannot be logged is counted; results, exceptions and streams are as without us."""
    audit.fail_with(SpoolFullError("full"))

    def works() -> Any:
        return agent(calls(("search", "c-1")), says("done")).invoke(asks(), thread())

    def fails() -> Any:
        return graph(("fail", fail)).invoke({"number": 1})

    for application in (works, fails):
        check_same_outcome(
            application,
            lambda: install(audit),
            lambda state: [m.content for m in state["messages"]],
        )
    assert audit.stats().unlogged_total > 0
    assert audit.events == []


def test_strict_raises_what_is_lost(audit: InMemoryAuditLogger) -> None:
    """For who must not act without a record, a full spool stops the agent."""
    with InMemoryAuditLogger() as other:
        undo = install(other, strict=True)
        other.fail_with(SpoolFullError("full"))
        try:
            with pytest.raises(SpoolFullError):
                graph(("count", count)).invoke({"number": 1})
        finally:
            undo()
