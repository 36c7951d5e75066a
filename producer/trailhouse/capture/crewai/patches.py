"""Where CrewAI is listened to: at its event bus, as events are sent, and around the methods that kick off."""

from __future__ import annotations

import functools
import inspect
from typing import TYPE_CHECKING, Any

from trailhouse.capture.crewai.events import CrewEvents
from trailhouse.capture.crewai.kickoffs import Kickoff, opened
from trailhouse.capture.installation import Undo, install_once
from trailhouse.capture.replaced_methods import replace_methods

if TYPE_CHECKING:
    from trailhouse.producer import AuditLogger


def install(audit: AuditLogger, *, strict: bool = False) -> Undo:
    """Have every crew, flow and agent of this process recorded; return what undoes that.

    Args:
        audit: Where they are recorded.
        strict: Raise what could not be recorded to whoever sent the event: a tool then does not begin. Otherwise
            nothing of ours reaches the application.

    Raises:
        ConfigError: CrewAI is not installed, or not as it was tried. Permanent.
    """
    return install_once("crewai", audit, lambda: _patch(CrewEvents(audit.recorder), strict=strict))


def _patch(events: CrewEvents, *, strict: bool) -> Undo:
    from crewai.agent import Agent
    from crewai.crew import Crew
    from crewai.events.event_bus import CrewAIEventsBus
    from crewai.flow.flow import Flow

    kickoffs = {
        Crew: ("kickoff", "akickoff"),
        Flow: ("kickoff_async", "resume_async"),
        Agent: ("kickoff", "kickoff_async"),
    }
    methods = {(_owner(cls, name), name) for cls, names in kickoffs.items() for name in names}
    # By `getattr`: another's wrapper that is taken as it lies in its class is not told whose method it is.
    ours = [(cls, name, _kickoff(getattr(cls, name), events)) for cls, name in methods]
    ours.append((CrewAIEventsBus, "emit", _emit(CrewAIEventsBus.emit, events, strict=strict)))
    put_back = replace_methods(ours)

    def undo() -> None:
        events.is_recording = False
        put_back()

    return undo


def _owner(cls: Any, name: str) -> Any:
    """Return the class that defines the method *name* of *cls*: the public one may inherit it."""
    return next(each for each in cls.__mro__ if name in vars(each))


def _emit(plain: Any, events: CrewEvents, *, strict: bool) -> Any:
    """Return `emit` with us after it: the bus calls its handlers in a pool of threads, which loses the order."""

    @functools.wraps(plain)
    def emit(bus: Any, source: Any, event: Any) -> Any:
        result = plain(bus, source, event)
        if events.is_recording:
            with events.recorder.guard("a CrewAI event", strict=strict):
                events.record(source, event)
        return result

    return emit


def _kickoff(plain: Any, events: CrewEvents) -> Any:
    """Return a kickoff method that ends what it began and CrewAI did not, as a cancellation or Ctrl-C leaves it."""

    def broke_off(begun: list[Kickoff], error: BaseException) -> None:
        with events.recorder.guard("the end of a kickoff"):
            events.kickoffs.broke_off(begun, error)

    if inspect.iscoroutinefunction(plain):

        @functools.wraps(plain)
        async def kickoff_async(*args: Any, **named: Any) -> Any:
            begun: list[Kickoff] = []
            around = opened.set(begun)
            try:
                return await plain(*args, **named)
            except BaseException as error:
                broke_off(begun, error)
                raise
            finally:
                opened.reset(around)

        return kickoff_async

    @functools.wraps(plain)
    def kickoff(*args: Any, **named: Any) -> Any:
        begun: list[Kickoff] = []
        around = opened.set(begun)
        try:
            return plain(*args, **named)
        except BaseException as error:
            broke_off(begun, error)
            raise
        finally:
            opened.reset(around)

    return kickoff
