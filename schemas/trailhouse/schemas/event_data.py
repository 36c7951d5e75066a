"""What `data` holds, type by type: the one table that docs/events.md is made from and adapters write by.

A key is a convention, not a rule: an event with other keys is as valid. Who keeps to the table finds the
keys marked with a column in that column of the view `events`, and is understood by everyone's queries.
"""

from typing import NamedTuple

from trailhouse.schemas.event_type import EventType

PROMOTED_COLUMNS = (
    "model", "tool_name", "tool_call_id", "error_code", "input_tokens", "output_tokens", "total_tokens", "cost_usd",
    "duration_ms",
)  # fmt: skip
"""Keys of `data`, or of its `token_usage`, that fill the column of the same name."""


class DataKey(NamedTuple):
    """One key of `data`: its name, what it holds, and what that means."""

    name: str
    kind: str
    meaning: str

    @property
    def fills_column(self) -> bool:
        """Whether the view `events` has it as a column."""
        return self.name in PROMOTED_COLUMNS


_AGENT = DataKey("agent_id", "string", "the agent, as in the envelope")
_MODEL = DataKey("model", "string", "the model's name, as its provider spells it")
_MODEL_CALL = DataKey(
    "model_call_id",
    "string",
    "pairs the events of one call; the provider's response id, if it gives one",
)
_DURATION = DataKey("duration_ms", "number", "how long it took, milliseconds")
_STOP = DataKey("stop_reason", "string", "`end_turn`, `max_tokens`, `tool_use`, `paused` …")
_COST = DataKey("cost_usd", "number or its text", "US dollars; exact as a Decimal or as text")
_TOKENS = (
    DataKey("input_tokens", "integer", "tokens read, those from a cache included"),
    DataKey("output_tokens", "integer", "tokens written, those of reasoning included"),
    DataKey("total_tokens", "integer", "both, where the provider says it"),
    DataKey("cache_read_tokens", "integer", "of `input_tokens`: read from a cache"),
    DataKey("cache_write_tokens", "integer", "of `input_tokens`: written into a cache"),
    DataKey("reasoning_tokens", "integer", "of `output_tokens`: reasoning"),
)
_USAGE_MISSING = DataKey(
    "usage_missing", "true", "the provider gave no usage: absent is unknown, never 0"
)
_ERROR = (
    DataKey("error_code", "string or integer", "the error's code, else an exception's class"),
    DataKey("error_message", "string", "what it says"),
)
_TOOL = (
    DataKey("tool_name", "string", "the tool"),
    DataKey("tool_call_id", "string", "pairs the events of one call, its approval included"),
)
_APPROVAL = (
    *_TOOL,
    DataKey("approval_id", "string", "pairs request and decision; the tool call's id will do"),
    DataKey(
        "action_digest",
        "string",
        "`sha256:` and the hex digest of exactly what was asked for and approved: the tool's name and arguments",
    ),
)
_DECISION = (
    *_APPROVAL,
    DataKey("decision", "string", "`granted` or `denied`"),
    DataKey("approver", "object `{type, id}`", "who decided: a person, a policy or a service"),
    DataKey("reason", "string", "why, in the approver's words"),
    DataKey("expires_at", "time", "until when the approval holds"),
)
_MESSAGE = (
    DataKey("direction", "string", "`inbound`: to the agent; `outbound`: from it"),
    DataKey("role", "string", "`user`, `assistant`, `system`, `tool`"),
    DataKey("message_id", "string", "the message; pairs a stream's parts"),
    DataKey("content", "any", "what it says, or its parts"),
    DataKey("channel", "string", "`chat`, `email`, `slack` …"),
)
_SESSION = (DataKey("session_status", "string", "the session's status after this"), _AGENT)
_SESSION_ENDED = (*_SESSION, DataKey("reason", "string", "why"))
_SWITCHED = (
    DataKey("reason", "string", "why auditing was switched"),
    DataKey("scope", "string", "`context` (a block, thread or task) or `process` (its settings)"),
)
_GUARDRAIL = (
    DataKey("guardrail", "string", "its name"),
    DataKey("stage", "string", "`input`, `output` or `tool`"),
    DataKey("reason", "string", "what it found"),
)
_RUN_ERROR = (_AGENT, *_ERROR, _DURATION)

DATA_KEYS: dict[EventType, tuple[DataKey, ...]] = {
    EventType.SESSION_CREATED: _SESSION,
    EventType.SESSION_STARTED: _SESSION,
    EventType.SESSION_PAUSED: _SESSION_ENDED,
    EventType.SESSION_RESUMED: _SESSION_ENDED,
    EventType.SESSION_COMPLETED: _SESSION_ENDED,
    EventType.SESSION_FAILED: (*_SESSION, *_ERROR),
    EventType.SESSION_CANCELLED: _SESSION_ENDED,
    EventType.RUN_STARTED: (_AGENT, DataKey("run_status", "string", "the run's status")),
    EventType.RUN_COMPLETED: (
        _AGENT,
        DataKey(
            "token_usage", "object", "the run's **totals**, with the token keys of a model call"
        ),
        _COST,
        _STOP,
        _DURATION,
    ),
    EventType.RUN_FAILED: _RUN_ERROR,
    EventType.RUN_CANCELLED: _RUN_ERROR,
    EventType.RUN_TIMEOUT: _RUN_ERROR,
    EventType.RUN_ABANDONED: (_AGENT, DataKey("reason", "string", "how it came to have no end")),
    EventType.MESSAGE_SENT: _MESSAGE,
    EventType.MESSAGE_RECEIVED: _MESSAGE,
    EventType.MESSAGE_STREAMED: (
        *_MESSAGE,
        DataKey("part", "integer", "which part of the stream, from 0"),
    ),
    EventType.TOOL_CALL_STARTED: (
        *_TOOL,
        DataKey("arguments", "any", "what it was called with"),
    ),
    EventType.TOOL_CALL_COMPLETED: (
        *_TOOL,
        DataKey("result", "any", "what it answered"),
        _DURATION,
    ),
    EventType.TOOL_CALL_FAILED: (*_TOOL, *_ERROR, _DURATION),
    EventType.TOOL_APPROVAL_REQUESTED: (
        *_APPROVAL,
        DataKey("arguments", "any", "what the tool would be called with"),
        DataKey("policy_name", "string", "the policy that asks"),
        DataKey("expires_at", "time", "until when an answer is awaited"),
    ),
    EventType.TOOL_APPROVAL_GRANTED: _DECISION,
    EventType.TOOL_APPROVAL_DENIED: _DECISION,
    EventType.MODEL_CALL_STARTED: (
        _MODEL,
        _MODEL_CALL,
        DataKey("parameters", "object", "temperature, limits and the like"),
    ),
    EventType.MODEL_CALL_COMPLETED: (
        _MODEL,
        _MODEL_CALL,
        *_TOKENS,
        _COST,
        _STOP,
        _DURATION,
        _USAGE_MISSING,
    ),
    EventType.MODEL_CALL_FAILED: (_MODEL, _MODEL_CALL, *_ERROR, *_TOKENS, _COST, _DURATION),
    EventType.TOKEN_USAGE_UPDATED: (_MODEL, _MODEL_CALL, *_TOKENS, _COST, _USAGE_MISSING),
    EventType.TURN_COMPLETED: (
        DataKey("turn", "integer", "which turn of the session or run, from 1"),
        _STOP,
        _DURATION,
    ),
    EventType.AGENT_CREATED: (
        _AGENT,
        DataKey("agent_name", "string", "its name, where the id is another"),
        DataKey("agent_version", "string", "its version"),
        DataKey("description", "string", "what it is for"),
        _MODEL,
    ),
    EventType.AGENT_HANDED_OFF: (
        DataKey("from_agent_id", "string", "the agent that hands over"),
        DataKey("to_agent_id", "string", "the agent that goes on"),
        DataKey("to_run_id", "string", "its run, where it has one of its own"),
        DataKey("reason", "string", "why"),
    ),
    EventType.GUARDRAIL_PASSED: _GUARDRAIL,
    EventType.GUARDRAIL_TRIPPED: (
        *_GUARDRAIL,
        DataKey("action", "string", "what was done about it: `blocked`, `warned`, `rewritten`"),
    ),
    EventType.EVALUATION_RECORDED: (
        DataKey("evaluation", "string", "what was judged, such as `relevance`"),
        DataKey("score", "number", "how good it is, by the measure's own scale"),
        DataKey("label", "string", "the same in a word: `pass`, `fail` …"),
        DataKey("explanation", "string", "why"),
        _MODEL_CALL,
    ),
    EventType.POLICY_VIOLATION: (
        DataKey("policy", "string", "the policy"),
        DataKey("kind", "string", "`blocked`, `warned` …"),
        DataKey("tool_name", "string", "the tool, where one was concerned"),
        DataKey("reason", "string", "what broke it"),
    ),
    EventType.ERROR_OCCURRED: (_AGENT, *_ERROR),
    EventType.ERROR_RECOVERED: (
        _AGENT,
        *_ERROR,
        DataKey("recovery", "string", "what helped: `retried`, `fallback` …"),
    ),
    EventType.WORKSPACE_SNAPSHOT_TAKEN: (
        DataKey("snapshot_id", "string", "the snapshot, such as a commit"),
        DataKey("path", "string", "what was taken"),
    ),
    EventType.WORKSPACE_DIFF_COMPUTED: (
        DataKey("from_snapshot_id", "string", "compared from"),
        DataKey("to_snapshot_id", "string", "compared to"),
        DataKey("files_changed", "integer", "how many files differ"),
        DataKey("lines_added", "integer", "lines added"),
        DataKey("lines_removed", "integer", "lines removed"),
    ),
    EventType.AUDIT_ENABLED: _SWITCHED,
    EventType.AUDIT_DISABLED: _SWITCHED,
    EventType.AUDIT_READ: (
        DataKey("door", "string", "`api`, `mcp` or `sql`: where it was read"),
        DataKey("principal", "string", "who read, as in `actor`: the token's name, or the user's"),
        DataKey("token_id", "string", "which token, where one vouches for the name"),
        DataKey("operation", "string", "what was asked, such as `log` or `search`"),
        DataKey("filter", "object", "the filter and what else narrowed it, as it was given"),
        DataKey("rows", "integer", "how many rows were answered"),
        DataKey("complete", "boolean", "whether the answer held all that was asked for"),
        DataKey("stage", "string", "`page`; of a stream, `opened` and `closed`"),
        DataKey("failed", "string", "the kind of error that ended it"),
        _DURATION,
    ),
    EventType.AUDIT_SEALED: (
        DataKey("service", "string", "whose key has signed"),
        DataKey("producer_id", "string", "whose records are sealed: as in their `source`"),
        DataKey("first_seq", "integer", "the first of their numbers"),
        DataKey("last_seq", "integer", "the last of them"),
        DataKey("is_last", "boolean", "no seal comes after this"),
        DataKey(
            "own_seq", "integer", "the number of the last seal itself, where its logger made it"
        ),
        DataKey("next_within_seconds", "integer", "when the next seal comes; 0 for the last"),
        DataKey(
            "records_hash", "string", "SHA-256 over the digests of the records, in order, in hex"
        ),
        DataKey("digests", "string", "the first 8 bytes of each digest, in base64"),
        DataKey("lost", "array of `[first, last]`", "numbers whose records will not come"),
        DataKey("public_key", "string", "the key that has signed, in base64"),
        DataKey("signature", "string", "over all of this, in base64; docs/proof.md says how"),
        DataKey("repeats_ms", "integer", "of a copy: when the seal was made, Unix ms; not signed"),
    ),
    EventType.AUDIT_VERIFIED: (
        DataKey("verdict", "string", "`intact`, `found` or `could_not_check`"),
        DataKey("scope", "string", "`all`, or `part` where some rows were asked for"),
        DataKey("duties", "object", "of each duty: its verdict, how much it has checked and found"),
        DataKey("leaves", "integer", "how many offsets were held against a signed root"),
        _DURATION,
    ),
    EventType.AUDIT_ERASURE: (
        DataKey("operator", "string", "who ordered: his name in the policy"),
        DataKey("order", "integer", "the number of his signed order, as `log_erasures` has it"),
        DataKey("order_sha256", "string", "SHA-256 of the order's text, in hex"),
        DataKey("digests", "integer", "how many records it names"),
        DataKey("reason_characters", "integer", "how long the reason is, which only the order has"),
    ),
}
"""The keys of each known type, what identifies it first."""

USAGE_INCREMENTS = (
    EventType.TOKEN_USAGE_UPDATED,
    EventType.MODEL_CALL_COMPLETED,
    EventType.MODEL_CALL_FAILED,
)
"""Types whose tokens and cost are increments, to be summed; a model call is logged by one of them."""


def render() -> str:
    """Return docs/events.md's table of keys; a star marks what fills a column of the view `events`."""
    rows = ["| Type | Key of `data` | Holds | Meaning |", "|---|---|---|---|"]
    by_keys: dict[tuple[DataKey, ...], list[EventType]] = {}
    for name, keys in DATA_KEYS.items():
        by_keys.setdefault(keys, []).append(name)
    for keys, names in by_keys.items():
        types = ", ".join(f"`{name}`" for name in names)
        for position, key in enumerate(keys):
            star = " ★" if key.fills_column else ""
            first = types if position == 0 else ""
            rows.append(f"| {first} | `{key.name}`{star} | {key.kind} | {key.meaning} |")
    return "\n".join(rows) + "\n"
