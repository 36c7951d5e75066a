"""Agent Framework by its spans, LiteLLM in runs of plain Python, and plain Python alone: judged from the spool."""

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterator, Callable
from contextlib import aclosing
from typing import Any, ClassVar

import litellm
import pytest
from agent_framework import (
    Agent,
    BaseChatClient,
    ChatMiddlewareLayer,
    ChatResponse,
    ChatResponseUpdate,
    Content,
    FunctionInvocationLayer,
    Message,
    ResponseStream,
    UsageDetails,
    observability,
    tool,
)

from spooled_runs import (
    BREAK,
    CALL,
    SECRET,
    STUCK,
    TOKENS,
    GoneError,
    Sdk,
    SpooledRuns,
    never,
    note_asked,
    query_of,
    searched,
)
from trailhouse.capture import litellm as litellm_adapter
from trailhouse.capture import otel
from trailhouse.producer import AuditLogger, ProducerConfig
from trailhouse.producer.recording.usage import Usage

# --- Agent Framework, by its spans -------------------------------------------------------------------------------

USED = UsageDetails(input_token_count=TOKENS, output_token_count=2)


class Scripted(
    FunctionInvocationLayer,
    ChatMiddlewareLayer,
    observability.ChatTelemetryLayer,
    BaseChatClient,
):
    """A client that gives these answers."""

    def __init__(self, *answers: Any) -> None:
        super().__init__()
        self.coming = iter(answers)

    async def _next(self) -> Content:
        answer = next(self.coming)
        if isinstance(answer, BaseException):
            raise answer
        if answer == STUCK:
            await never()
        if answer in (CALL, BREAK):
            asked = {"query": query_of(answer)}
            return Content.from_function_call(call_id="c-1", name="search", arguments=asked)
        return Content.from_text(answer)

    def _inner_get_response(self, *, messages: Any, stream: bool, options: Any, **more: Any) -> Any:
        async def answer() -> ChatResponse:
            said = Message("assistant", [await self._next()])
            return ChatResponse(messages=[said], model="m-1", usage_details=USED)

        async def pieces() -> AsyncIterator[ChatResponseUpdate]:
            yield ChatResponseUpdate(contents=[await self._next()], role="assistant")
            yield ChatResponseUpdate(contents=[Content.from_usage(USED)], role="assistant")

        if stream:
            return ResponseStream(pieces(), finalizer=ChatResponse.from_updates)
        return answer()


def _af_agent(*answers: Any, name: str = "bot", made: Any = None) -> Agent:
    function = made or tool(name="search", approval_mode="never_require")(searched)
    return Agent(client=Scripted(*answers), name=name, tools=[function])


async def _af_ask(*answers: Any) -> str:
    return str((await _af_agent(*answers).run(SECRET)).text)


async def _af_stream(*answers: Any) -> str:
    return "".join([str(each.text) async for each in _af_agent(*answers).run(SECRET, stream=True)])


async def _af_nest() -> str:
    inner = _af_agent("inner", name="inner")

    async def ask(query: str) -> str:
        """Ask."""
        return str((await inner.run(query)).text)

    made = tool(name="search", approval_mode="never_require")(ask)
    return str((await _af_agent(CALL, "outer", name="outer", made=made).run(SECRET)).text)


async def _af_decide(is_granted: bool) -> str:
    made = tool(name="search", approval_mode="always_require")(searched)
    bot = _af_agent(CALL, "well", made=made)
    session = bot.create_session()
    paused = await bot.run(SECRET, session=session)
    (request,) = paused.user_input_requests
    decision = request.to_function_approval_response(approved=is_granted)
    return str((await bot.run(Message("user", [decision]), session=session)).text)


@pytest.fixture(autouse=True)
def instrumented(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(observability.OBSERVABILITY_SETTINGS, "enable_instrumentation", True)
    monkeypatch.setattr(observability.OBSERVABILITY_SETTINGS, "enable_sensitive_data", True)


# --- plain Python, and LiteLLM within it -------------------------------------------------------------------------

_silent = AuditLogger(ProducerConfig(enabled=False))
_here = [_silent]
"""The logger that the application has: without us one that logs nothing."""


def _use(audit: AuditLogger) -> Callable[[], None]:
    _here.append(audit)
    return lambda: _here.remove(audit)


def _use_with_litellm(audit: AuditLogger) -> Callable[[], None]:
    undo, forget = litellm_adapter.install(audit), _use(audit)

    def both() -> None:
        forget()
        undo()

    return both


Model = Callable[[Any, Any], Any]
"""Asked with a run and with what to answer, returns the answer and sees that what it used is logged."""


async def _say(run: Any, answer: Any) -> str:
    if answer == STUCK:
        await never()
    if isinstance(answer, Exception):
        raise answer
    run.use(Usage(input_tokens=TOKENS, output_tokens=2, model="m-1"))
    return str(answer)


async def _ask_litellm(_: Any, answer: Any) -> str:
    if answer == STUCK:
        note_asked()
    usage = {"prompt_tokens": TOKENS, "completion_tokens": 2, "total_tokens": TOKENS + 2}
    mocked = answer
    if not isinstance(answer, Exception):
        message = {"role": "assistant", "content": answer}
        mocked = litellm.ModelResponse(choices=[{"message": message}], usage=usage)
    said = await litellm.acompletion(
        model="openai/gpt-4o",
        messages=[{"role": "user", "content": SECRET}],
        mock_response=mocked,
        mock_delay=60 if answer == STUCK else 0,
        num_retries=0,
    )
    return str(said.choices[0].message.content)


def _agent(model: Model) -> Callable[..., Any]:
    async def ask(*answers: Any) -> str:
        said = ""
        async with _here[-1].run("s-1", agent_id="bot") as run:
            run.message(SECRET, role="user")
            for answer in answers:
                said = await model(run, answer)
                if answer in (CALL, BREAK):
                    with run.tool_call("search", {"query": query_of(answer)}) as call:
                        call.result = searched(query_of(answer))
        return said

    return ask


def _nest(model: Model) -> Callable[[], Any]:
    async def nest() -> str:
        async with _here[-1].run("s-1", agent_id="outer") as outer:
            await model(outer, "first")
            async with _here[-1].run(agent_id="inner") as inner:
                await model(inner, "inner")
            return str(await model(outer, "outer"))

    return nest


async def _pieces(*answers: Any) -> AsyncGenerator[str]:
    async with _here[-1].run("s-1", agent_id="bot") as run:
        for answer in answers:
            yield await _say(run, answer)
            if answer == CALL:
                with run.tool_call("search", {"query": SECRET}) as call:
                    call.result = searched(SECRET)


async def _stream(*answers: Any) -> str:
    return " ".join([piece async for piece in _pieces(*answers)])


async def _leave(*answers: Any) -> str:
    async with aclosing(_pieces(*answers)) as pieces:
        async for piece in pieces:
            return piece
    return ""


async def _decide(is_granted: bool) -> str:
    async with _here[-1].run("s-1", agent_id="bot") as run:
        await _say(run, "may I?")
        run.ask_approval("search", {"query": SECRET}, call_id="c-1", policy_name="people")
        run.pause()
    async with _here[-1].run("s-1", agent_id="bot") as run:
        run.decide_approval(
            is_granted=is_granted, tool_name="search", call_id="c-1", reason=f"not {SECRET}"
        )
        if is_granted:
            with run.tool_call("search", {"query": SECRET}, call_id="c-1") as call:
                call.result = searched(SECRET)
        return await _say(run, "well")


class TestRuns(SpooledRuns):
    """Agent Framework's spans tell of no session, and of a stream that is left as of one that ended."""

    SDKS: ClassVar = {
        "agent_framework": Sdk(
            otel.install,
            _af_ask,
            stream=_af_stream,
            nest=_af_nest,
            decide=_af_decide,
            has_session=False,
        ),
        "litellm": Sdk(
            _use_with_litellm,
            _agent(_ask_litellm),
            nest=_nest(_ask_litellm),
            errors=(litellm.APIConnectionError, litellm.InternalServerError, GoneError),
        ),
        "plain_python": Sdk(
            _use, _agent(_say), stream=_stream, leave=_leave, nest=_nest(_say), decide=_decide
        ),
    }
