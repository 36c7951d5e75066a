"""Google's Agent Development Kit with models that answer what they were given to answer. For its environment only."""

from collections.abc import AsyncGenerator
from contextlib import aclosing
from typing import Any

from google.adk.agents import LlmAgent
from google.adk.apps import App
from google.adk.models import BaseLlm, LlmResponse
from google.adk.runners import Runner
from google.adk.sessions import InMemorySessionService
from google.genai import types
from pydantic import PrivateAttr

from capture_rules import Recorded, check_runs
from trailhouse.producer.testing import InMemoryAuditLogger


class ScriptedModel(BaseLlm):
    """Answers what it was given to answer: a response, several pieces of one, an error, or what to wait for."""

    _script: list[Any] = PrivateAttr()

    def __init__(self, *script: Any) -> None:
        super().__init__(model="scripted-1")
        self._script = list(script)

    async def generate_content_async(
        self, llm_request: Any, stream: bool = False
    ) -> AsyncGenerator[LlmResponse, None]:
        answer = self._script.pop(0)
        for piece in answer if isinstance(answer, list) else [answer]:
            if isinstance(piece, BaseException):
                raise piece
            if callable(piece):
                await piece()
            else:
                yield piece


def says(text: str, read: int | None = 10, written: int = 5, **given: Any) -> LlmResponse:
    """Return an answer of the model, and what it used; None for what it does not say."""
    return LlmResponse(
        content=types.Content(role="model", parts=[types.Part(text=text)]),
        usage_metadata=None if read is None else used(read, written),
        **given,
    )


def calls(*calls: tuple[str, dict[str, Any]]) -> LlmResponse:
    """Return an answer that calls tools."""
    parts = [
        types.Part(function_call=types.FunctionCall(name=name, args=arguments))
        for name, arguments in calls
    ]
    return LlmResponse(content=types.Content(role="model", parts=parts), usage_metadata=used(20, 7))


def used(read: int, written: int, **given: int) -> types.GenerateContentResponseUsageMetadata:
    return types.GenerateContentResponseUsageMetadata(
        prompt_token_count=read,
        candidates_token_count=written,
        total_token_count=read + written + given.get("thoughts_token_count", 0),
        **given,
    )


def weather(city: str) -> dict[str, int]:
    """Tell the weather."""
    return {"degrees": 21}


def pay(amount: int) -> dict[str, int]:
    """Pay."""
    return {"paid": amount}


def fails() -> str:
    """Fail."""
    raise KeyError("no such key")


def an_agent(*script: Any, name: str = "helper", **given: Any) -> LlmAgent:
    return LlmAgent(name=name, model=ScriptedModel(*script), **given)


class Talk:
    """A session with an agent."""

    def __init__(self, agent: Any, session_id: str = "session-1", **given: Any) -> None:
        self.session_id = session_id
        self.sessions = InMemorySessionService()
        self.runner = Runner(
            app=App(name="app", root_agent=agent, **given), session_service=self.sessions
        )

    async def say(self, message: str | types.Content, **given: Any) -> list[Any]:
        """Send a message, and return the events that answer it."""
        return [event async for event in self.stream(message, **given)]

    async def stream(self, message: str | types.Content, **given: Any) -> AsyncGenerator[Any, None]:
        here = {"app_name": "app", "user_id": "user-1", "session_id": self.session_id}
        if await self.sessions.get_session(**here) is None:
            await self.sessions.create_session(**here)
        if isinstance(message, str):
            message = types.Content(role="user", parts=[types.Part(text=message)])
        given |= {"user_id": "user-1", "session_id": self.session_id, "new_message": message}
        async with aclosing(self.runner.run_async(**given)) as events:
            async for event in events:
                yield event


def answer(events: list[Any], name: str, response: dict[str, Any]) -> types.Content:
    """Return the user's answer to the last call of *name*."""
    call = [call for event in events for call in event.get_function_calls() if call.name == name][
        -1
    ]
    answered = types.FunctionResponse(id=call.id, name=name, response=response)
    return types.Content(role="user", parts=[types.Part(function_response=answered)])


def texts(events: list[Any]) -> list[str]:
    """Return what an application reads: the ids differ by themselves."""
    return [
        part.text for event in events if event.content for part in event.content.parts if part.text
    ]


def runs_of(audit: InMemoryAuditLogger) -> list[Recorded]:
    """Return what was recorded, each run checked."""
    audit.recorder.close()
    return check_runs(audit.events)
