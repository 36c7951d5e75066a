"""The redactor: a record without what is secret in it, or a record that says that it could not be told."""

from __future__ import annotations

import json
import logging
import re
import time
from collections.abc import Mapping, Sequence
from typing import Any, TypeGuard

import msgspec

from trailhouse.redaction import matching
from trailhouse.redaction.config import RedactionConfig
from trailhouse.redaction.marker import hashed_with, masked
from trailhouse.redaction.preview import Finding, findings
from trailhouse.redaction.rule import DENSE
from trailhouse.redaction.rules import allowed_by, rules_of
from trailhouse.redaction.shorten import shortened
from trailhouse.redaction.tally import MAX_SECRETS, Tally, TooManySecretsError
from trailhouse.redaction.text_redactor import TextRedactor
from trailhouse.redaction.tree import TreeRedactor
from trailhouse.schemas.json_form import kind_of
from trailhouse.schemas.record import encode_sorted

log = logging.getLogger(__name__)

COUNTS_KEY = "_redactions"
LARGE_BYTES = 65_536
"""From this size on a record is looked through in a way that nothing can make slow."""
TOLD_EVERY_SECONDS = 60.0
FAILED = "redaction_failed"
_decode = msgspec.json.Decoder(dict[str, Any]).decode
_TIME = b',"occurred_at":"'
_DATA = b'data":'
"""With this end the keys of what is looked at, `data` and `metadata`; within a text its quote is escaped."""
_NO_METADATA = b',"metadata":{}'
_EVENT_ID = b',"event_id":"'
_EVENT_ID_BYTES = len(_EVENT_ID) + 37
_NOTHING: frozenset[str] = frozenset()
_COUNTS = frozenset({COUNTS_KEY})
_CATEGORY = re.compile(r"[a-z0-9_]{1,64}")
_WITHOUT_RE2 = (
    "google-re2 is not installed: secrets are looked for with Python's re, which takes hundreds of times as long, and"
    " of texts over 4 kB those that may hold one are taken out as a whole; pip install google-re2 where there is a wheel"
)
_told: list[None] = []


class Redactor:
    """Takes secrets out of records; nothing that fails in it lets one through.

    Args:
        config: The settings.
        limit_bytes: The largest record; one that grows over it by its markers is shortened.
        left_alone: For a type of event the keys of its `data` that stay as they are.
    """

    def __init__(
        self,
        config: RedactionConfig,
        *,
        limit_bytes: int,
        left_alone: Mapping[str, frozenset[str]] | None = None,
    ) -> None:
        mark = hashed_with(config.key) if config.mode == "hash" else masked
        is_allowed = allowed_by(config.allow)
        texts = TextRedactor(rules_of(config), mark, is_allowed)
        has_cards = "card" in config.kinds_of_pii
        self._tree = TreeRedactor(texts, mark, has_cards=has_cards, is_allowed=is_allowed)
        self._large_tree = TreeRedactor(
            texts.for_large(), mark, has_cards=has_cards, is_allowed=is_allowed
        )
        self._begin_record = texts.begin_record
        self._may_hold = texts.may_hold
        self._large_may_hold = texts.for_large().may_hold
        self.spans = texts.spans
        """Called with a text in UTF-8; returns what is secret in it, in order."""
        self._limit_bytes = limit_bytes
        self._left_alone = dict(left_alone or {})
        self.failures_total = 0
        """Events whose content was taken out as a whole, since redaction failed."""
        self._told_at: float | None = None
        if not matching.HAS_RE2 and not _told:
            _told.append(None)  # once a process
            log.warning(_WITHOUT_RE2)

    def redacted(self, record: bytes) -> bytes:
        """Return *record*, an event's bytes, without what is secret in its `data` and `metadata`; raises nothing.

        Its keys stand in their order, as in `AuditEvent.record`: what is behind these two is not looked at. A record over the limit is returned as it is: it is refused anyway.
        """
        try:
            if len(record) < LARGE_BYTES and matching.HAS_RE2:  # most are
                places = self._may_hold(content_of(record))
                return self._looked_through(record, self._tree, places) if places else record
            return self._large_redacted(record)
        except TooManySecretsError:
            return _envelope(record, DENSE)
        except Exception as error:  # noqa: BLE001 - whatever it is, the content must not pass
            self.failures_total += 1
            self._tell(error)
            return _envelope(record, FAILED)

    def _large_redacted(self, record: bytes) -> bytes:
        if len(record) > self._limit_bytes:
            return record
        if not matching.HAS_RE2:
            self._begin_record()
            return self._looked_through(record, self._tree, None)
        places = self._large_may_hold(content_of(record))
        return self._looked_through(record, self._large_tree, places) if places else record

    def opens(self, record: bytes) -> bool:
        """Tell whether *record* has to be looked into text by text."""
        return bool(self._may_hold(content_of(record)))

    def _looked_through(
        self, record: bytes, tree: TreeRedactor, places: Sequence[int] | None
    ) -> bytes:
        fields = decoded(record)
        tally = Tally(places, MAX_SECRETS)
        data, metadata = fields.get("data"), fields.get("metadata")
        if isinstance(data, dict):
            left_alone = (
                self._left_alone.get(fields["type"], _NOTHING) if self._left_alone else _NOTHING
            )
            fields["data"] = tree.redacted(data, tally, left_alone)
        if metadata and isinstance(metadata, dict):
            counted = _COUNTS if _are_counts(metadata.get(COUNTS_KEY)) else _NOTHING
            metadata = tree.redacted(metadata, tally, counted)
        if not tally.counts:
            return record
        if data is None:
            fields.setdefault("data", {})  # another producer may leave out what is empty
        fields["metadata"] = (
            with_counts(metadata, tally.counts) if metadata else {COUNTS_KEY: tally.counts}
        )
        redacted = encode_sorted(fields)
        return (
            redacted if len(redacted) <= self._limit_bytes else shortened(fields, self._limit_bytes)
        )

    def _tell(self, error: Exception) -> None:
        """Say in our log, once a minute at most, that content was taken out; never what *error* says."""
        now = time.monotonic()
        if self._told_at is not None and now - self._told_at < TOLD_EVERY_SECONDS:
            return
        self._told_at = now
        log.error(
            "an event's content could not be redacted, and was taken out: %s; %d in all",
            kind_of(error),
            self.failures_total,
        )

    def preview(self, data: dict[str, Any]) -> list[Finding]:
        """Return what would be taken out of *data*, which is plain JSON."""
        return findings(self._tree, data)

    def without_secrets(self, data: dict[str, Any]) -> dict[str, Any]:
        """Return *data*, which is plain JSON, as it would be written; *data* itself where nothing is secret.

        Unlike `redacted` this raises what goes wrong: it is for showing, not for writing.
        """
        return self._tree.redacted(data, Tally())


def redactor_of(
    config: RedactionConfig,
    limit_bytes: int,
    left_alone: Mapping[str, frozenset[str]] | None = None,
) -> Redactor | None:
    """Return the redactor that *config* asks for; None where nothing is to be taken out.

    Args:
        config: The settings.
        limit_bytes: The largest record.
        left_alone: As for a `Redactor`.

    Raises:
        ConfigError: A pattern in the settings is broken. Permanent.
    """
    if not config.enabled:
        return None
    return Redactor(config, limit_bytes=limit_bytes, left_alone=left_alone)


def content_of(record: bytes) -> bytes:
    """Return *record* from its content's key up to its end; all of it where that end is not plain to see.

    Around it are ids, times and names that nobody reads for secrets. RE2 works out what to do next the first time that
    it comes from one character to another: of random ids, which are never the same, it learns for hundreds of events.
    """
    # The last one is the record's own: texts hold no quote that is not escaped, and what stands behind has no such key.
    end = record.rfind(_TIME)
    if end < 0 or record.find(_DATA, end) >= 0:
        return record
    if record.endswith(_NO_METADATA, 0, end):
        begin = end - len(_NO_METADATA) - _EVENT_ID_BYTES
        if begin > 0 and record.startswith(_EVENT_ID, begin):
            end = begin
    return record[record.find(_DATA, 0, end) + 1 : end]


def _envelope(record: bytes, category: str) -> bytes:
    """Return what *record* holds beside its content, which goes as a whole, as a secret of *category*."""
    name = category.encode()
    fields = msgspec.json.decode(record, type=dict[str, msgspec.Raw])
    fields["data"] = msgspec.Raw(b'{"%b":"[REDACTED:%b]"}' % (name, name))
    fields["metadata"] = msgspec.Raw(b'{"%b":{"%b":1}}' % (COUNTS_KEY.encode(), name))
    return encode_sorted(fields)


def decoded(record: bytes) -> dict[str, Any]:
    """Return what *record* holds, integers of any size as they are."""
    try:
        return _decode(record)
    except msgspec.DecodeError:  # another producer's, with a number that msgspec does not take
        exact: dict[str, Any] = json.loads(record)
        return exact


def with_counts(metadata: dict[str, Any], count: Mapping[str, int]) -> dict[str, Any]:
    """Return *metadata* with *count* added to what it says of earlier redactions."""
    earlier = metadata.get(COUNTS_KEY)
    total = dict(count)
    if _are_counts(earlier):
        for category, number in earlier.items():
            total[category] = total.get(category, 0) + number
    return {**metadata, COUNTS_KEY: total}


def _are_counts(value: Any) -> TypeGuard[dict[str, int]]:
    """Tell whether *value* is what an earlier redaction has counted, and not what somebody hides under its name."""
    return isinstance(value, dict) and all(
        type(number) is int and 0 < number < 10**9 and _CATEGORY.fullmatch(category)
        for category, number in value.items()
    )
