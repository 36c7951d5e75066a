"""The frameworks that are known: by an adapter of ours, or by their OpenTelemetry spans."""

from __future__ import annotations

import importlib.metadata
import sys
from typing import NamedTuple

from trailhouse.capture.installation import FRAMEWORKS


class Known(NamedTuple):
    """A framework: its distribution, the module that an application imports, and the version that was tried."""

    distribution: str
    module: str
    tried: str
    makes_spans: bool
    """By itself, or once it is told to; else an instrumentation makes them."""


_MODULES = {
    "openai_agents": "agents",
    "langchain": "langchain_core",
    "claude_agent": "claude_agent_sdk",
    "crewai": "crewai",
    "litellm": "litellm",
    "google_adk": "google.adk",
    "otel": "opentelemetry.sdk",
}
_MAKE_SPANS = {"google_adk", "otel"}

KNOWN: dict[str, Known] = {
    name: Known(framework.distribution, _MODULES[name], framework.tried, name in _MAKE_SPANS)
    for name, framework in FRAMEWORKS.items()
} | {
    "pydantic_ai": Known("pydantic-ai-slim", "pydantic_ai", "2.68.0", makes_spans=True),
    "mcp": Known("mcp", "mcp", "2.3.0", makes_spans=True),
    "llama_index": Known("llama-index-core", "llama_index.core", "0.14.25", makes_spans=False),
    "dspy": Known("dspy", "dspy", "3.4.1", makes_spans=False),
    "smolagents": Known("smolagents", "smolagents", "1.26.0", makes_spans=False),
    "agent_framework": Known("agent-framework-core", "agent_framework", "1.23.0", makes_spans=True),
    "autogen": Known("autogen-agentchat", "autogen_agentchat", "0.7.5", makes_spans=True),
    "strands": Known("strands-agents", "strands", "1.62.0", makes_spans=True),
}
"""By the name of the adapter, else by the name that its users call it."""

_BROUGHT_BY_OTHERS = {"langchain", "litellm", "mcp", "otel"}
"""Libraries as much as frameworks: that one is imported does not say that an agent is run by it."""

_INSTRUMENTED_AS = {
    "openai_agents": ("openai_agents",),
    "langchain": ("langchain",),
    "claude_agent": ("claude_agent_sdk",),
    "crewai": ("crewai",),
    "litellm": ("litellm",),
    "google_adk": ("google_adk",),
    "pydantic_ai": ("pydantic_ai",),
    "mcp": ("mcp",),
    "llama_index": ("llama_index", "llamaindex"),
    "dspy": ("dspy",),
    "smolagents": ("smolagents",),
    "autogen": ("autogen_agentchat", "autogen"),
}
_INSTRUMENTATIONS = (
    "opentelemetry.instrumentation.{}",
    "opentelemetry.instrumentation.genai.{}",
    "openinference.instrumentation.{}",
)


def version_of(name: str) -> str | None:
    """Return the version that is installed; None where there is none."""
    try:
        return importlib.metadata.version(KNOWN[name].distribution)
    except importlib.metadata.PackageNotFoundError:
        return None


def is_imported(name: str) -> bool:
    """Tell whether this process has imported it."""
    return sys.modules.get(KNOWN[name].module) is not None


def may_be_unused(name: str) -> bool:
    """Tell whether it is imported by others, and so says nothing of the application."""
    return name in _BROUGHT_BY_OTHERS


def instrumentations_of(name: str) -> list[str]:
    """Return the instrumentations of it that this process has imported."""
    names = _INSTRUMENTED_AS.get(name, ())
    modules = [place.format(each) for place in _INSTRUMENTATIONS for each in names]
    return [module for module in modules if sys.modules.get(module) is not None]
