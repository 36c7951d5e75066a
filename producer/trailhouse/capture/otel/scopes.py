"""Which spans are left to an installed adapter: the instrumentation scope says whose they are."""

from __future__ import annotations

import functools
from typing import Final

from trailhouse.capture.installation import is_installed

ADAPTER_OF_SCOPE: Final = {
    "opentelemetry.instrumentation.openai_agents": "openai_agents",
    "opentelemetry.instrumentation.genai.openai_agents": "openai_agents",
    "openinference.instrumentation.openai_agents": "openai_agents",
    "opentelemetry.instrumentation.langchain": "langchain",
    "opentelemetry.instrumentation.genai.langchain": "langchain",
    "openinference.instrumentation.langchain": "langchain",
    "opentelemetry.instrumentation.crewai": "crewai",
    "opentelemetry.instrumentation.genai.crewai": "crewai",
    "openinference.instrumentation.crewai": "crewai",
    "crewai.telemetry": "crewai",
    "opentelemetry.instrumentation.claude_agent_sdk": "claude_agent",
    "opentelemetry.instrumentation.genai.claude_agent_sdk": "claude_agent",
    "openinference.instrumentation.claude_agent_sdk": "claude_agent",
    "gcp.vertex.agent": "google_adk",
    "openinference.instrumentation.google_adk": "google_adk",
    "litellm": "litellm",
    "litellm.proxy": "litellm",
    "openinference.instrumentation.litellm": "litellm",
}
"""By the name of the scope; a scope beneath one of these belongs to it too. The adapter's module is the value."""


def is_left_to_adapter(scope: str) -> bool:
    """Tell whether an installed adapter records what spans of *scope* tell of."""
    adapter = adapter_of(scope)
    return adapter is not None and is_installed(adapter)


@functools.lru_cache(maxsize=1_024)
def adapter_of(scope: str) -> str | None:
    """Return the adapter that *scope* belongs to, installed or not; None for none."""
    while scope:
        adapter = ADAPTER_OF_SCOPE.get(scope)
        if adapter is not None:
            return adapter
        scope = scope.rpartition(".")[0]
    return None
