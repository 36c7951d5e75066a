"""What a span is to us, told from its name and the attributes that it has so far."""

from __future__ import annotations

from enum import StrEnum
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping


class Kind(StrEnum):
    """What a span is to us."""

    RUN = "run"
    WORKFLOW = "workflow"
    """Stands round agents: a run if they are several, and scaffolding round a single one."""
    CHAIN = "chain"
    """The same, and nothing at all if no agent, tool or model is called within it."""
    TOOL = "tool"
    MODEL = "model"
    CREATION = "creation"


_OPERATIONS: Final = {
    "invoke_agent": Kind.RUN,
    "invoke_workflow": Kind.WORKFLOW,
    "execute_tool": Kind.TOOL,
    "chat": Kind.MODEL,
    "generate_content": Kind.MODEL,
    "text_completion": Kind.MODEL,
    "embeddings": Kind.MODEL,
    "fetch_response": Kind.MODEL,
    # LiteLLM's own callback names its functions.
    **{
        f"{way}{call}": Kind.MODEL
        for way in ("", "a")
        for call in ("completion", "text_completion", "embedding", "responses")
    },
    "create_agent": Kind.CREATION,
}

BY_ATTRIBUTE: Final[tuple[tuple[str, Mapping[str, Kind]], ...]] = (
    ("gen_ai.operation.name", _OPERATIONS),
    (
        "openinference.span.kind",
        {
            "AGENT": Kind.RUN,
            "CHAIN": Kind.CHAIN,
            "LLM": Kind.MODEL,
            "EMBEDDING": Kind.MODEL,
            "TOOL": Kind.TOOL,
        },
    ),
    (
        "traceloop.span.kind",
        {"agent": Kind.RUN, "workflow": Kind.WORKFLOW, "tool": Kind.TOOL},
    ),
    (
        "llm.request.type",
        {"chat": Kind.MODEL, "completion": Kind.MODEL, "embedding": Kind.MODEL},
    ),
    ("mcp.method.name", {"tools/call": Kind.TOOL}),
)

_BY_FIRST_WORD: Final = {
    # ADK, Strands and Agent Framework start a span by its name alone, and say the rest later.
    "invoke_agent": Kind.RUN,
    "agent_run": Kind.RUN,
    "invoke_workflow": Kind.WORKFLOW,
    "execute_tool": Kind.TOOL,
    "create_agent": Kind.CREATION,
    "tools/call": Kind.TOOL,
}

_BY_SCOPE_AND_NAME: Final = {
    ("gcp.vertex.agent", "invocation"): Kind.WORKFLOW,
    ("agent_framework", "workflow.run"): Kind.WORKFLOW,
}
SCOPED_NAMES: Final = frozenset(name for _, name in _BY_SCOPE_AND_NAME)
"""Names that say something in their scope alone, which a sampler is not told."""

SCOPES_WITH_AGENT_ROOTS: Final = frozenset(("openinference.instrumentation.openai_agents",))
"""Call a trace's own root an agent, which stands round those that work in it."""

_METHODS: Final = frozenset(
    ("run", "arun", "forward", "aforward", "__call__", "acall", "invoke", "ainvoke")
)

_LLAMA_INDEX: Final = "openinference.instrumentation.llama_index"
_LLAMA_INDEX_RUNS: Final = ("Agent.run", "AgentWorkflow.run")
_KIND_OF_LLAMA_INDEX_METHOD: Final = {  # its spans have attributes at their end alone
    "agent": Kind.RUN,
    "run": Kind.CHAIN,
    **{
        f"{way}{call}{how}": Kind.MODEL
        for way in ("", "a", "stream_", "astream_")
        for call in ("chat", "complete")
        for how in ("", "_with_tools")
    },
}

_MCP_CLIENT_PREFIX: Final = "MCP send tools/call "


def kind_of(
    name: str,
    attributes: Mapping[str, Any],
    scope: str = "",
    among: Iterable[tuple[str, Mapping[str, Kind]]] = BY_ATTRIBUTE,
) -> Kind | None:
    """Return what a span of this *name*, with these *attributes* so far, is; None if it is nothing to us.

    Args:
        name: Its name.
        attributes: What it has said so far.
        scope: The name of its instrumentation scope.
        among: The attributes that may tell; those that it has, where that is known.
    """
    if scope == _LLAMA_INDEX:
        method = "agent" if name.endswith(_LLAMA_INDEX_RUNS) else name.rpartition(".")[2]
        if method.startswith("_") or method in _KIND_OF_LLAMA_INDEX_METHOD:
            return _KIND_OF_LLAMA_INDEX_METHOD.get(method)
    for attribute, kinds in among:
        value = attributes.get(attribute)
        if type(value) is not str:
            if not isinstance(value, str):
                continue
            value = str.__str__(value)  # of an enum's member, whose hash is not its text's
        if (kind := kinds.get(value)) is not None:
            return kind
    if (kind := _BY_FIRST_WORD.get(name.partition(" ")[0])) is not None:
        return kind
    if name in SCOPED_NAMES:
        return _BY_SCOPE_AND_NAME.get((scope, name))
    return Kind.TOOL if name.startswith(_MCP_CLIENT_PREFIX) else None


def name_in(span_name: str) -> str | None:
    """Return what a span's name says after the operation: ``execute_tool search`` names ``search``."""
    for prefix in (_MCP_CLIENT_PREFIX, *(f"{word} " for word in _BY_FIRST_WORD)):
        if span_name.startswith(prefix):
            return span_name[len(prefix) :].strip(" []") or None
    return None


def short_name(span_name: str) -> str:
    """Return a span's name without the method that is called: ``bot.run`` is ``bot``."""
    head, _, method = span_name.rpartition(".")
    return head if head and method in _METHODS else span_name
