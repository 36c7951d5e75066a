"""Records the runs of the OpenAI Agents SDK: `install(audit)` is the one line."""

from trailhouse.capture.openai_agents.installing import install

__all__ = ["install"]
