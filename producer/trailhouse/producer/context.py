"""The context: what is said once for a block, and inherited by every event that does not name it itself.

::

    with audit.bind(session=session, run=run, actor={"type": "user", "id": "u-17"}):
        audit.log("tool_call_started", data={"tool_name": "search"})

**Precedence**, field by field: named in the call, then by the innermost `bind`, then by the ones around it, then
the logger's own `tenant_id` and `actor`, then its settings. None names nothing. A run that is named inside
another, by a call or a bind, gets that one as its parent unless it names its own.

**Reach.** A bind belongs to one logger and to one context (`contextvars`): what is called in the block inherits
it, and so do asyncio tasks and `asyncio.to_thread` begun there, which keep it when the block is over. A new
thread does not: run its work in a copy, ``contextvars.copy_context().run``. A forked child does. A generator
runs in its caller's context, so a bind around a `yield` holds for the caller until the generator goes on. Of
`telemetry.span` the loggers inherit whose handlers are attached when it begins. `AuditLogger.emit` sends an
event as it is, and inherits nothing.
"""

from __future__ import annotations

import uuid
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import msgspec

from trailhouse.producer.object_fields import context_fields
from trailhouse.schemas.draft import EventDraft
from trailhouse.schemas.errors import InvalidEventError
from trailhouse.schemas.event import MAX_ID_CHARACTERS, check_id, checked_actor
from trailhouse.schemas.json_form import is_a, is_text, kind_of
from trailhouse.schemas.record import Actor

if TYPE_CHECKING:
    from collections.abc import Callable
    from types import TracebackType

    from trailhouse.producer.context_layers import Layers, Pushed
    from trailhouse.schemas.draft import Processor


class AuditContext(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What an event inherits that names nothing itself; what `AuditLogger.context` returns.

    To go on in another process, send its fields along and bind them there:
    ``audit.bind(session=…, run=…)`` takes plain ids.
    """

    session_id: str | None = None
    run_id: str | None = None
    parent_run_id: str | None = None
    agent_id: str | None = None
    tenant_id: str | None = None
    actor: Actor | None = None
    provider: str | None = None
    correlation_id: str | None = None
    trace_id: str | None = None
    span_id: str | None = None


class Bound:
    """The fields that are bound at one place of a program, and the run and session that they came from."""

    __slots__ = (
        "_fields", "_late_session", "_pairs", "_pairs_of_child", "is_empty", "run", "run_id", "session", "session_id"
    )  # fmt: skip

    def __init__(
        self,
        fields: Mapping[str, Any],
        run: object = None,
        session: object = None,
        late_session: Callable[[], str | None] | None = None,
    ) -> None:
        self._late_session = None if fields.get("session_id") is not None else late_session
        self.run = run
        self.session = session
        self.run_id = fields.get("run_id")
        self.session_id = fields.get("session_id")
        self._fields = dict(fields)
        self._pairs = tuple(self._fields.items())
        child = {} if self.run_id is None else {"parent_run_id": self.run_id}
        self._pairs_of_child = tuple((self._fields | child).items())
        self.is_empty = not self._pairs and self._late_session is None
        """Whether no event inherits anything."""

    @property
    def context(self) -> AuditContext:
        """What is bound, for others to read."""
        return AuditContext(**self._fields)

    def stamp(self, draft: EventDraft) -> EventDraft:
        """Return *draft* with what is bound in the place of each None."""
        run_id = draft.run_id
        try:
            pairs = self._pairs if run_id is None or run_id == self.run_id else self._pairs_of_child
        except Exception:  # noqa: BLE001 - a foreign `__eq__` may raise anything; the event refuses what has one
            pairs = self._pairs_of_child
        for name, value in pairs:
            if getattr(draft, name) is None:
                setattr(draft, name, value)
        if self._late_session is not None and draft.session_id is None:
            draft.session_id = self._late_session()
        return draft

    def within(
        self,
        fields: Mapping[str, Any],
        run: object,
        session: object,
        late_session: Callable[[], str | None] | None = None,
    ) -> Bound:
        """Return what is bound in a block inside this one that names *fields*.

        Args:
            fields: What it names.
            run: What its run's fields came from; the one of this block if None.
            session: The same of its session.
            late_session: Asked with each event that has no session yet, where *fields* and this block name none.
        """
        late = late_session or self._late_session
        around = Bound(self._fields, self.run, self.session) if late_session is not None else self
        return Bound(
            around.stamp(EventDraft(**fields)).given(),
            self.run if run is None else run,
            self.session if session is None else session,
            late,
        )


class Binding:
    """Binds fields to a block, sync or async; made by `AuditLogger.bind`, and entered once."""

    def __init__(
        self,
        layers: Layers[Bound],
        around: Bound,
        fields: Mapping[str, Any],
        run: object,
        session: object,
        late_session: Callable[[], str | None] | None = None,
    ) -> None:
        self._layers = layers
        self._stamps = around
        self._named = (fields, run, session, late_session)
        self._pushed: Pushed[Bound] | None = None

    def __enter__(self) -> AuditContext:
        if self._pushed is not None:
            raise RuntimeError("a bind is entered once: call `bind` again for another block")
        around = self._layers.top
        bound = (self._stamps if around is None else around.value).within(*self._named)
        self._pushed = self._layers.push(bound)
        return bound.context

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._pushed is not None:
            self._layers.remove(self._pushed, everywhere=False)

    async def __aenter__(self) -> AuditContext:
        return self.__enter__()

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.__exit__(kind, error, trace)


def stamper(layers: Layers[Bound], stamps: Bound) -> Processor:
    """Return the processor that gives a draft what is bound where it is logged; outside of a bind, *stamps*."""
    newest, has_stamps = layers.newest, stamps.context != AuditContext()

    def stamp(draft: EventDraft) -> EventDraft:
        if newest() is not None or has_stamps:
            layer = layers.top
            (stamps if layer is None else layer.value).stamp(draft)
        return draft

    return stamp


def described(what: object) -> object:
    """Return a run or session as something that has names: a plain id has one."""
    if is_text(what):
        return {"id": str.__str__(what)}  # of an enum's member its value
    # A number is no id, which the event says in its own words.
    return {"id": what} if is_a(what, (uuid.UUID, int, float, bytes)) else what


def fields_of(run: object, session: object, named: Mapping[str, Any]) -> dict[str, Any]:
    """Return the event's fields that a caller of `bind` names, checked.

    Raises:
        InvalidEventError: A field breaks a rule, or a run or session has no id. Permanent.
    """
    fields = context_fields(run, session)
    for name, what in (("session_id", session), ("run_id", run)):
        if what is not None and fields[name] is None:
            raise InvalidEventError(name, f"is missing: {kind_of(what)} has no `id`")
    fields |= {name: value for name, value in named.items() if value is not None}
    return checked(fields)


def checked(fields: Mapping[str, Any]) -> dict[str, Any]:
    """Return those of *fields* that are not None, and follow the rules of an event.

    Raises:
        InvalidEventError: One does not; names it and the rule. Permanent.
    """
    result: dict[str, Any] = {}
    for name, value in fields.items():
        if value is None:
            continue
        if name == "actor":
            result[name] = checked_actor(value)
        elif type(value) is str and 0 < len(value) <= MAX_ID_CHARACTERS:
            result[name] = value  # as below, for four calls less
        else:
            check_id(value, name)
            result[name] = str.__str__(value)
    return result
