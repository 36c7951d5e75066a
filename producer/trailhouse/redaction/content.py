"""How much of messages, tool arguments and results is kept, by type of event: all, redacted, a digest, nothing."""

import hashlib
import hmac
from collections.abc import Mapping
from typing import Any

import msgspec
from msgspec.structs import replace

from trailhouse.schemas.draft import EventDraft, Processor
from trailhouse.schemas.errors import ConfigError
from trailhouse.schemas.event_type import EventType, is_type_name
from trailhouse.schemas.json_form import is_a, json_object
from trailhouse.schemas.record import encode_sorted
from trailhouse.schemas.setting_names import check_names
from trailhouse.schemas.settings import require, setting, settle

LEVELS = ("full", "redacted", "digest", "off")
CONTENT_KEYS = ("content", "arguments", "result")
"""The keys of `data` that hold what was said, asked and answered."""
CONTENT_TYPES = (
    EventType.MESSAGE_SENT,
    EventType.MESSAGE_RECEIVED,
    EventType.MESSAGE_STREAMED,
    EventType.TOOL_CALL_STARTED,
    EventType.TOOL_CALL_COMPLETED,
    EventType.TOOL_APPROVAL_REQUESTED,
    EventType.TOOL_APPROVAL_GRANTED,
    EventType.TOOL_APPROVAL_DENIED,
)
"""The types that the level is about; another type may be named."""
LEVEL_KEY = "_content"
"""Says in the metadata that content was turned into a digest, or left out."""


class ContentConfig(msgspec.Struct, frozen=True, kw_only=True):
    """Settings of content. Making one raises `ConfigError` on a bad setting."""

    level: str = setting(
        "content",
        "level",
        "redacted",
        "Of messages, tool arguments and results: `full`, `redacted`, `digest` (keyed by `[redaction] key`) or `off`.",
    )
    by_type: str = setting(
        "content",
        "by_type",
        "",
        "The same for single types of events: `message_sent=digest tool_call_completed=off`.",
    )

    def __post_init__(self) -> None:
        settle("content", self)
        check_names("content")
        require(self.level in LEVELS, "content.level", "full, redacted, digest or off")
        self.levels()

    def levels(self) -> dict[str, str]:
        """Return the level of each type that has content, or that is named.

        Raises:
            ConfigError: A type or a level is none. Permanent.
        """
        levels = {str(name): self.level for name in CONTENT_TYPES}
        for pair in self.by_type.replace(",", " ").split():
            name, _, level = pair.partition("=")
            if not is_type_name(name) or level not in LEVELS:
                raise ConfigError(
                    "content.by_type holds pairs such as message_sent=digest, with blanks between;"
                    f" the levels are {', '.join(LEVELS)}"
                )
            levels[name] = level
        return levels


def left_alone_by(config: ContentConfig) -> dict[str, frozenset[str]]:
    """Return which keys of which types redaction leaves as they are: those that are to be kept in full."""
    return {
        name: frozenset(CONTENT_KEYS) for name, level in config.levels().items() if level == "full"
    }


def withholders(config: ContentConfig, key: str) -> tuple[Processor, ...]:
    """Return the processors that turn content into a digest or leave it out; none where none is to be.

    Args:
        config: The settings.
        key: What digests are keyed by: `[redaction] key`.

    Raises:
        ConfigError: A digest is asked for, and there is no key. Permanent.
    """
    levels = {name: level for name, level in config.levels().items() if level in ("digest", "off")}
    if not levels:
        return ()
    if "digest" in levels.values() and not key:
        raise ConfigError("content is to be a digest, which needs a key: set redaction.key")
    secret, level_of = key.encode(), levels.get

    def withhold(draft: EventDraft) -> EventDraft:
        name = draft.type
        level = level_of(name) if isinstance(name, str) else None
        if level is None or not is_a(draft.data, Mapping):
            return draft
        # In plain form, so that a key is found whatever kind of mapping it stands in; raises as the event would.
        data: dict[str, Any] = json_object(draft.data, "data")
        held = [each for each in CONTENT_KEYS if each in data]
        if not held:
            return draft
        kept = {each: value for each, value in data.items() if each not in held}
        if level == "digest":
            kept |= {each: digest_of(data[each], secret) for each in held}
        return replace(draft, data=kept, metadata=_noting(draft.metadata, level))

    return (withhold,)


def digest_of(value: Any, key: bytes) -> dict[str, Any]:
    """Return what stands for plain *value*: its keyed digest, and how long it is.

    A text is digested as its UTF-8, anything else as its canonical JSON.
    """
    is_text = isinstance(value, str)
    content = value.encode(errors="surrogatepass") if is_text else encode_sorted(value)
    digest = hmac.new(key, content, hashlib.sha256).hexdigest()
    return {"digest": f"hmac-sha256:{digest}", "bytes": len(content)}


def _noting(metadata: Any, level: str) -> Any:
    if metadata is None:
        return {LEVEL_KEY: level}
    return {**metadata, LEVEL_KEY: level} if type(metadata) is dict else metadata
