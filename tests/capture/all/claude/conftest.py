"""The scripted model, and the options that have Claude's own command line ask it."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from claude_agent_sdk import ClaudeAgentOptions
from tests.capture.all.claude.scene import script

from scripted_claude import ScriptedClaude, scripted_claude


@pytest.fixture
def model() -> Iterator[ScriptedClaude]:
    with scripted_claude(script) as server:
        yield server


@pytest.fixture
def options(model: ScriptedClaude, tmp_path: Path) -> ClaudeAgentOptions:
    home = {"HOME": str(tmp_path), "CLAUDE_CONFIG_DIR": str(tmp_path / "claude")}
    return ClaudeAgentOptions(
        env=model.environment | home, cwd=tmp_path, setting_sources=[], allowed_tools=["Bash"]
    )
