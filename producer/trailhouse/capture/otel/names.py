"""The attributes by which spans say things: the current names, the old ones, and the vendors' own."""

from __future__ import annotations

Names = tuple[str, ...]
"""Attributes that say the same; the first that a span has counts."""

RUN_ID: Names = ("gen_ai.agent.call.id",)
SESSION: Names = (
    "gen_ai.conversation.id", "session.id", "gcp.vertex.agent.session_id", "langfuse.session.id",
    "traceloop.association.properties.session_id", "traceloop.association.properties.thread_id",
)  # fmt: skip
BAGGAGE_SESSION: Names = ("gen_ai.conversation.id", "session.id", "session_id")
AGENT: Names = (
    "gen_ai.agent.name",
    "agent.name",
    "agent_name",
    "gen_ai.workflow.name",
    "workflow.name",
    "gen_ai.agent.id",
)
ENTITY: Names = ("traceloop.entity.name",)
NODE: Names = ("graph.node.id",)
"""Where nothing else names an agent: in a name of CrewAI's spans stands what the agent was asked."""
USER: Names = ("enduser.id", "user.id")
MODEL: Names = (
    "gen_ai.response.model", "gen_ai.request.model", "llm.model_name", "llm.response.model", "llm.request.model",
    "embedding.model_name",
)  # fmt: skip
PROVIDER: Names = ("gen_ai.provider.name", "gen_ai.system", "llm.provider", "llm.system")
RESPONSE_ID: Names = ("gen_ai.response.id", "llm.response.id")
STOP: Names = ("gen_ai.response.finish_reasons",)
TOOL: Names = ("gen_ai.tool.name", "tool.name", "tool_name", *ENTITY)
CALL_ID: Names = ("gen_ai.tool.call.id", "tool_call.id", "tool_call_id")
ARGUMENTS: Names = (
    "gen_ai.tool.call.arguments", "tool_arguments", "gcp.vertex.agent.tool_call_args", "input.value",
    "traceloop.entity.input", "tool.parameters",
)  # fmt: skip
RESULT: Names = (
    "gen_ai.tool.call.result", "tool_response", "gcp.vertex.agent.tool_response", "output.value",
    "traceloop.entity.output",
)  # fmt: skip
DEFERRAL: Names = ("pydantic_ai.tool.deferral.name",)

INPUT_TOKENS: Names = (
    "gen_ai.usage.input_tokens", "gen_ai.usage.prompt_tokens", "llm.token_count.prompt", "llm.usage.prompt_tokens",
)  # fmt: skip
OUTPUT_TOKENS: Names = (
    "gen_ai.usage.output_tokens", "gen_ai.usage.completion_tokens", "llm.token_count.completion",
    "llm.usage.completion_tokens",
)  # fmt: skip
TOTAL_TOKENS: Names = (
    "gen_ai.usage.total_tokens",
    "llm.usage.total_tokens",
    "llm.token_count.total",
)
CACHE_READ_TOKENS: Names = (
    "gen_ai.usage.cache_read.input_tokens", "gen_ai.usage.cache_read_input_tokens",
    "gen_ai.usage.details.cache_read_tokens", "llm.token_count.prompt_details.cache_read",
)  # fmt: skip
CACHE_WRITE_TOKENS: Names = (
    "gen_ai.usage.cache_write.input_tokens", "gen_ai.usage.cache_creation.input_tokens",
    "gen_ai.usage.cache_write_input_tokens", "gen_ai.usage.cache_creation_input_tokens",
    "gen_ai.usage.details.cache_write_tokens", "llm.token_count.prompt_details.cache_write",
)  # fmt: skip
REASONING_TOKENS: Names = (
    "gen_ai.usage.reasoning.output_tokens", "gen_ai.usage.reasoning_tokens", "gen_ai.usage.details.reasoning_tokens",
    "gen_ai.usage.experimental.reasoning_tokens", "llm.usage.reasoning_tokens",
    "llm.token_count.completion_details.reasoning",
)  # fmt: skip
COST: Names = ("operation.cost", "gen_ai.usage.cost", "llm.cost.total")

COUNTED = tuple(
    (name, what)
    for what, among in (
        ("input_tokens", INPUT_TOKENS), ("output_tokens", OUTPUT_TOKENS), ("total_tokens", TOTAL_TOKENS),
        ("cache_read_tokens", CACHE_READ_TOKENS), ("cache_write_tokens", CACHE_WRITE_TOKENS),
        ("reasoning_tokens", REASONING_TOKENS),
    )
    for name in among
)  # fmt: skip
"""Each attribute that counts tokens, and what it counts; of those that count the same the first one counts."""
TOTALS = tuple(
    (each, what)
    for name, what in COUNTED
    for each in (name, name.replace("gen_ai.usage.", "gen_ai.aggregated_usage."))
)
"""The same where a run's span tells what its calls used together."""
