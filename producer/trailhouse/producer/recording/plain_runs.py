"""Runs of plain Python: a block, and a decorator of functions."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import TYPE_CHECKING, Any

from trailhouse.producer.recording.block import RunBlock, open_plain_run
from trailhouse.producer.recording.traced import F, traced

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from trailhouse.producer.recording.recorder import Recorder
    from trailhouse.schemas.record import Actor


class PlainRuns(ABC):
    """The part of an `AuditLogger` that records runs of code which no framework runs."""

    @property
    @abstractmethod
    def recorder(self) -> Recorder:
        """What records them."""

    def run(
        self,
        session: object = None,
        *,
        agent_id: str | None = None,
        run_id: str | None = None,
        tenant_id: str | None = None,
        actor: Actor | Mapping[str, str] | None = None,
        provider: str | None = None,
        correlation_id: str | None = None,
        metadata: Mapping[str, Any] | None = None,
        strict: bool = False,
    ) -> RunBlock:
        """Record a run around a ``with`` or ``async with`` block: its start, and whatever end it takes.

        ::

            with audit.run("s-1", agent_id="support-bot") as run:
                with run.tool_call("search", arguments={"q": "refund"}) as call:
                    call.result = search("refund")
                run.result = {"token_usage": {"input_tokens": 120, "output_tokens": 8}}

        What is logged in the block belongs to the run. Inside another run it is that one's child, in its session and
        of its agent unless it names another. The block's outcome is never changed: what breaks a rule of events is
        marked, what cannot be logged is in `stats`, and nothing waits for room.

        Args:
            session: Its id, a struct, a mapping, or any object with the same names; else the one of the run around, or
                the bound one. Without any the run is kept under its own id.
            agent_id: The agent.
            run_id: Its id; a new one if not given.
            tenant_id: The tenant.
            actor: On whose behalf.
            provider: Who serves its models.
            correlation_id: What ties it to others' records.
            metadata: What else is to be kept of it.
            strict: For a caller who must not act without a record: raise what `log` raises, at the start before the
                block is entered, from each method of the run, and at the end of a block that raised nothing itself.
        """
        recorder = self.recorder
        return RunBlock(
            lambda: open_plain_run(
                recorder,
                session,
                run_id=run_id,
                agent_id=agent_id,
                tenant_id=tenant_id,
                actor=actor,
                provider=provider,
                correlation_id=correlation_id,
                metadata=metadata,
                strict=strict,
            )
        )

    def traced(
        self,
        *,
        session: object = None,
        agent_id: str | None = None,
        tenant_id: str | None = None,
        actor: Actor | Mapping[str, str] | None = None,
        provider: str | None = None,
        metadata: Mapping[str, Any] | None = None,
        with_content: bool = False,
        strict: bool = False,
    ) -> Callable[[F], F]:
        """Decorate a function so that each call of it is a run, as a block of `run` is.

        ::

            @audit.traced(session="conversation_id", agent_id="support-bot")
            async def answer(question: str, conversation_id: str) -> str: ...

        Functions, coroutine functions, generators of both kinds, and methods of every kind stay what they are, with
        their signature. A generator's run begins when it is first asked; it is bound while the generator's own code
        runs, and not for whoever reads it; one that is broken off is cancelled.

        Args:
            session: The name of a parameter that holds it, a function of the call's arguments that returns it, or the
                session itself; as for `run` if not given.
            agent_id: The agent.
            tenant_id: The tenant.
            actor: On whose behalf.
            provider: Who serves its models.
            metadata: What else is to be kept of each run.
            with_content: Record the arguments as the message that the run received, and what a function returned as
                the one that it sent. What a generator yields is not recorded.
            strict: As for `run`.
        """
        recorder = self.recorder

        def decorate(function: F) -> F:
            return traced(
                recorder,
                function,
                session=session,
                with_content=with_content,
                agent_id=agent_id,
                tenant_id=tenant_id,
                actor=actor,
                provider=provider,
                metadata=metadata,
                strict=strict,
            )

        return decorate
