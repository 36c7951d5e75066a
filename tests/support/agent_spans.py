"""Attributes of agents', tools' and models' spans, and what is recorded of them."""

from capture_rules import Recorded, check_runs
from trailhouse.producer.testing import InMemoryAuditLogger

AGENT = {"gen_ai.operation.name": "invoke_agent", "gen_ai.agent.name": "bot"}
USAGE = {"gen_ai.usage.input_tokens": 10, "gen_ai.usage.output_tokens": 2}
CHAT = {"gen_ai.operation.name": "chat", "gen_ai.request.model": "m-1", **USAGE}
TOOL = {"gen_ai.operation.name": "execute_tool", "gen_ai.tool.name": "search"}


def types(audit: InMemoryAuditLogger) -> list[str]:
    return [str(event.type) for event in audit.events]


def only_run(audit: InMemoryAuditLogger) -> Recorded:
    runs = check_runs(audit.events)
    assert len(runs) == 1
    return runs[0]
