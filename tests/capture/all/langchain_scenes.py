"""Agents of LangChain with scripted models, and what their runs must look like."""

import asyncio
from collections.abc import Callable, Iterator, Sequence
from typing import Any, TypedDict

from langchain.agents import create_agent
from langchain_core.language_models import BaseChatModel
from langchain_core.messages import AIMessage, AIMessageChunk, HumanMessage
from langchain_core.outputs import ChatGeneration, ChatGenerationChunk, ChatResult
from langchain_core.tools import tool
from langgraph.graph import START, StateGraph

from capture_rules import Recorded, check_runs
from trailhouse.producer.testing import InMemoryAuditLogger


class ScriptedModel(BaseChatModel):
    """Answers as it is told, in order; an exception is raised."""

    answers: list[Any]

    @property
    def _llm_type(self) -> str:
        return "scripted"

    def _next(self) -> AIMessage:
        answer = self.answers.pop(0)
        if isinstance(answer, BaseException):
            raise answer
        return answer

    def _generate(self, messages: Any, stop: Any = None, run_manager: Any = None, **_: Any) -> Any:
        return ChatResult(generations=[ChatGeneration(message=self._next())])

    def bind_tools(self, tools: Any, **_: Any) -> Any:
        return self


class StreamingModel(ScriptedModel):
    """Streams its answers word by word, its usage with the last."""

    def _stream(
        self, messages: Any, stop: Any = None, run_manager: Any = None, **_: Any
    ) -> Iterator[Any]:
        answer = self._next()
        for word in str(answer.content).split():
            chunk = ChatGenerationChunk(message=AIMessageChunk(content=word + " "))
            if run_manager is not None:
                run_manager.on_llm_new_token(word, chunk=chunk)
            yield chunk
        last = AIMessageChunk(
            content="",
            usage_metadata=answer.usage_metadata,
            response_metadata=answer.response_metadata,
            tool_call_chunks=[
                {"name": call["name"], "args": '{"query": "x"}', "id": call["id"], "index": 0}
                for call in answer.tool_calls
            ],
        )
        yield ChatGenerationChunk(message=last)


def says(text: str, *, response_id: str | None = None) -> AIMessage:
    """Return a model's answer in words, which took 10 tokens in, 4 of them cached, and 5 out, 2 of them thought."""
    return _answer(text, (), response_id)


def calls(*asked: tuple[str, str], response_id: str | None = None) -> AIMessage:
    """Return a model's answer that calls tools, each given by its name and the call's id, for ``x``."""
    return _answer("", asked, response_id)


def _answer(text: str, asked: Sequence[tuple[str, str]], response_id: str | None) -> AIMessage:
    made = [
        {"name": name, "args": {"query": "x"}, "id": call_id, "type": "tool_call"}
        for name, call_id in asked
    ]
    return AIMessage(
        content=text,
        tool_calls=made,
        usage_metadata={
            "input_tokens": 10,
            "output_tokens": 5,
            "total_tokens": 15,
            "input_token_details": {"cache_read": 3, "cache_creation": 1},
            "output_token_details": {"reasoning": 2},
        },
        response_metadata={"model_name": "scripted-1"}
        | ({} if response_id is None else {"id": response_id}),
    )


ONE_CALL = {
    "input_tokens": 10,
    "output_tokens": 5,
    "total_tokens": 15,
    "cache_read_tokens": 3,
    "cache_write_tokens": 1,
    "reasoning_tokens": 2,
}


def used(model_calls: int) -> dict[str, int]:
    """Return what that many model calls use."""
    return {name: count * model_calls for name, count in ONE_CALL.items()}


@tool
def search(query: str) -> str:
    """Search."""
    return f"found {query}"


@tool
def broken(query: str) -> str:
    """Fail."""
    raise LookupError(f"no {query} here")


def agent(
    *answers: Any,
    tools: Sequence[Any] = (search,),
    name: str | None = "helper",
    kind: type[ScriptedModel] = ScriptedModel,
    **more: Any,
) -> Any:
    """Return an agent whose model, of class *kind*, gives *answers*."""
    return create_agent(kind(answers=list(answers)), list(tools), name=name, **more)


def asks(text: str = "hi") -> dict[str, Any]:
    return {"messages": [HumanMessage(text)]}


def thread(name: str = "t-1") -> dict[str, Any]:
    return {"configurable": {"thread_id": name}}


def runs_of(audit: InMemoryAuditLogger) -> list[Recorded]:
    """Return the runs that were recorded, after a look at what holds in each, and that nothing was lost."""
    assert audit.stats().unlogged_total == 0
    return check_runs(audit.events)


def only_run(audit: InMemoryAuditLogger) -> Recorded:
    (run,) = runs_of(audit)
    return run


class Count(TypedDict):
    number: int


def graph(*nodes: tuple[str, Callable[..., Any]], **policy: Any) -> Any:
    """Return a graph of *nodes* in a row."""
    builder = StateGraph(Count)
    before = START
    for name, node in nodes:
        builder.add_node(name, node, **policy)
        builder.add_edge(before, name)
        before = name
    return builder.compile()


def count(state: Count) -> Count:
    return {"number": state["number"] + 1}


def fail(_: Count) -> Count:
    raise LookupError("gone")


async def logged(audit: InMemoryAuditLogger, type: str, count: int = 1) -> None:
    """Wait, ten seconds at most, until so many events of *type* are logged: LangChain ends some things late."""
    async with asyncio.timeout(10):
        while [str(event.type) for event in audit.events].count(type) < count:  # noqa: ASYNC110
            await asyncio.sleep(0.001)
