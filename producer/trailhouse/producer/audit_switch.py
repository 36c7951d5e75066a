"""Auditing off and on: for the process by its settings, for a context by a switch, and never without a trace.

A switch that changes anything is itself an event, `audit_disabled` or `audit_enabled`, with who and why: in the
session that is bound, else in that of the first event it decides about. What was told is told again when the
switch is reset. An event that tells is written whatever is switched off.
"""

from __future__ import annotations

import logging
import os
from typing import TYPE_CHECKING

from trailhouse.producer.context_layers import Layers
from trailhouse.schemas.draft import EventDraft
from trailhouse.schemas.errors import EventError, InvalidEventError, TrailhouseError
from trailhouse.schemas.event import checked_actor
from trailhouse.schemas.event_type import EventType
from trailhouse.schemas.json_form import is_text, kind_of

if TYPE_CHECKING:
    from collections.abc import Callable
    from types import TracebackType

    from trailhouse.producer.context_layers import Pushed
    from trailhouse.schemas.record import Actor

ENABLED_VARIABLE = "TRAILHOUSE_PRODUCER_ENABLED"
log = logging.getLogger(__name__)

_NOT_OF_A_SWITCH = frozenset({"data", "metadata", "event_id", "occurred_at"})


class Switch:
    """One decision about auditing, and whether it has been told."""

    __slots__ = ("_actor", "_reason", "_scope", "_untold", "is_on", "told")

    def __init__(
        self,
        *,
        is_on: bool,
        scope: str,
        changes: bool,
        reason: str | None = None,
        actor: Actor | None = None,
    ) -> None:
        self.is_on = is_on
        self.told: EventDraft | None = None
        self._scope = scope
        self._reason = reason
        self._actor = actor
        # A list, since taking its one item is atomic: of threads that come at once one tells.
        self._untold = [None] if changes else []

    def tell(self, draft: EventDraft, write: Callable[[EventDraft], object]) -> None:
        """Write the event about this switch, once, in the session of *draft*; nothing without one.

        Raises:
            EventError, DeliveryError: As `AuditLogger.log`: it was not written, and is not told.
        """
        if not self._untold or draft.session_id is None:
            return
        try:
            self._untold.pop()
        except IndexError:
            return
        try:
            event = self.event(draft, is_on=self.is_on)
            write(event)
        except BaseException:
            self._untold.append(None)
            raise
        self.told = event

    def event(self, draft: EventDraft, *, is_on: bool) -> EventDraft:
        """Return the event about this switch, by the envelope of *draft*."""
        data = {"scope": self._scope} | ({} if self._reason is None else {"reason": self._reason})
        event = EventDraft(**draft.given() | dict.fromkeys(_NOT_OF_A_SWITCH))
        event.type = EventType.AUDIT_ENABLED if is_on else EventType.AUDIT_DISABLED
        event.data = data
        if self._actor is not None:
            event.actor = self._actor
        return event

    def give_up(self) -> None:
        """Never tell it any more: it could not be written, and would fail with each event."""
        self._untold.clear()


class SwitchToken:
    """What `AuditLogger.set_enabled` returns, for `AuditLogger.reset_enabled`."""

    __slots__ = ("_pushed", "_switches", "is_used")

    def __init__(self, switches: Switches, pushed: Pushed[Switch]) -> None:
        self._switches = switches
        self._pushed = pushed
        self.is_used = False

    def take(self, switches: Switches) -> Pushed[Switch]:
        """Return what it stands for, once, to those who gave it.

        Raises:
            ValueError: Another logger gave it.
            RuntimeError: It has been used.
        """
        if switches is not self._switches:
            raise ValueError("the token was given by another logger")
        if self.is_used:
            raise RuntimeError("the token has been used")
        self.is_used = True
        return self._pushed


class Switches:
    """The switches of one logger: the process's baseline, and those of the current context on it."""

    def __init__(self, *, is_on: bool, write: Callable[[EventDraft], object]) -> None:
        self._layers: Layers[Switch] = Layers("trailhouse_enabled")
        self._write = write
        self.newest = self._layers.newest
        self._is_on = is_on
        self._baseline = self._new_baseline()

    def _new_baseline(self) -> Switch:
        self._pid = os.getpid()
        return Switch(
            is_on=self._is_on, scope="process", changes=not self._is_on, reason=ENABLED_VARIABLE
        )

    @property
    def current(self) -> Switch:
        """The switch that decides in this context."""
        layer = self._layers.top
        return self._baseline if layer is None else layer.value

    @property
    def is_untouched(self) -> bool:
        """Whether nothing is switched here, and auditing is on."""
        return self.newest() is None and self._is_on

    def admit(self, draft: EventDraft) -> EventDraft | None:
        """Return *draft* where auditing is on, else None; see `admits`."""
        return draft if (self.newest() is None and self._is_on) or self.admits(draft) else None

    def admits(self, draft: EventDraft) -> bool:
        """Tell whether an event is to be written; before, what is still to be told of the switch is."""
        if self._pid != os.getpid():  # a forked child, which has told nothing yet
            self._baseline = self._new_baseline()
        switch = self.current
        try:
            switch.tell(draft, self._write)
        except EventError:
            pass  # the session is none: the next event is looked at again
        except TrailhouseError as error:
            # Not raised: it is not what the caller asked for, and a program without a disk is one to switch off.
            switch.give_up()
            log.error(
                "auditing is switched %s here, which could not be logged: %s",
                _word(switch.is_on),
                error,
            )
        return switch.is_on

    def set(self, is_on: bool, draft: EventDraft, *, reason: object, actor: object) -> SwitchToken:
        """Switch auditing on or off in this context; *draft* holds what is bound.

        Raises:
            EventError, DeliveryError: As `AuditLogger.log`: it cannot be told; nothing was switched.
        """
        reason, actor = _checked(reason), None if actor is None else checked_actor(actor)
        switch = Switch(
            is_on=is_on,
            scope="context",
            changes=is_on != self.current.is_on,
            reason=reason,
            actor=actor,
        )
        switch.tell(draft, self._write)
        return SwitchToken(self, self._layers.push(switch))

    def reset(self, token: SwitchToken) -> None:
        """Undo `set`, in each context that has inherited it; logs an error where that cannot be told."""
        pushed = token.take(self)
        self._layers.remove(pushed, everywhere=True)
        switch = pushed.layer.value
        switch.give_up()
        if switch.told is not None:
            if not self.current.is_on:
                self.current.give_up()  # which this tells
            try:
                self._write(switch.event(switch.told, is_on=not switch.is_on))
            except TrailhouseError as error:
                log.error(
                    "auditing is switched %s again, which could not be logged: %s",
                    _word(not switch.is_on),
                    error,
                )


class Switching:
    """Switches auditing for a block; made by `AuditLogger.disabled` and `enabled`, and entered once."""

    def __init__(
        self, enter: Callable[[], SwitchToken], leave: Callable[[SwitchToken], None]
    ) -> None:
        self._enter = enter
        self._leave = leave
        self._token: SwitchToken | None = None

    def __enter__(self) -> None:
        if self._token is not None:
            raise RuntimeError("a switch is entered once: make another for another block")
        self._token = self._enter()

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._token is not None and not self._token.is_used:
            self._leave(self._token)


def _checked(reason: object) -> str | None:
    """Return *reason* if it can be told: at once, since there may be no session to tell it in yet."""
    if reason is None:
        return None
    if not is_text(reason):
        raise InvalidEventError("reason", f"must be a string, got {kind_of(reason)}")
    text = str.__str__(reason)
    if not _is_valid(text):
        raise InvalidEventError("reason", "must be valid Unicode, got a lone surrogate")
    return text


def _is_valid(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def _word(is_on: bool) -> str:
    return "on" if is_on else "off"
