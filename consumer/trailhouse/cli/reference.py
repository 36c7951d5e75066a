"""The command list and the table of settings of the README, made from the code."""

import importlib
from collections.abc import Iterator
from typing import Any

from trailhouse.schemas.setting_table import SETTING_KEYS
from trailhouse.schemas.settings import PROCESS_VARIABLES, SETTINGS, Setting, variable_of

PARTS = (
    "trailhouse.store.config",
    "trailhouse.schemas.kafka_config",
    "trailhouse.producer.config",
    "trailhouse.redaction.config",
    "trailhouse.redaction.content",
    "trailhouse.consumer.config",
    "trailhouse.query.config",
    "trailhouse.access.config",
    "trailhouse.api.config",
    "trailhouse.proof.config",
)
"""Where each part declares its settings."""


def render() -> str:
    """Return the command list as Markdown: each command's usage, what it does, its options."""
    lines = ["| Command | What it does | Options |", "|---|---|---|"]
    lines += [
        f"| `{_cell(_usage(path, command))}` | {_cell(_first_line(command))} | {_options(command)} |"
        for path, command in commands()
    ]
    return "\n".join(lines) + "\n"


def render_settings() -> str:
    """Return every setting as Markdown: its variable, its key in the settings file, its default."""
    for part in PARTS:
        importlib.import_module(part)
    declared = [
        SETTINGS[variable_of(section, key)]
        for section in SETTING_KEYS
        for key in SETTING_KEYS[section]
    ]
    lines = ["| Variable | In a settings file | Default | What it is |", "|---|---|---|---|"]
    lines += [
        f"| `{each.variable}` | `[{each.section}] {each.key}` | {_default(each)} | {_cell(_text(each))} |"
        for each in declared
    ]
    lines += [f"| `{name}` | | | {_cell(text)} |" for name, text in PROCESS_VARIABLES.items()]
    return "\n".join(lines) + "\n"


def commands() -> Iterator[tuple[str, Any]]:
    """Yield every command with its path, such as ``trailhouse dev status``, in the order of help."""
    from typer.main import get_command

    from trailhouse.cli.app import app

    root = get_command(app)
    for name, command in vars(root)["commands"].items():
        path = f"trailhouse {name}"
        yield path, command
        for child, nested in vars(command).get("commands", {}).items():
            yield f"{path} {child}", nested


def _usage(path: str, command: Any) -> str:
    arguments = [p for p in command.params if p.param_type_name == "argument" and not p.hidden]
    names = [(p.metavar or p.name.upper(), p.required) for p in arguments]
    words = [name if is_required else f"[{name}]" for name, is_required in names]
    return " ".join([path, *words])


def _first_line(command: Any) -> str:
    return str(command.help or "").strip().partition("\n")[0]


def _options(command: Any) -> str:
    options = [p for p in command.params if p.param_type_name == "option" and p.name != "help"]
    return ", ".join(f"`{option.opts[0]}`" for option in options if not option.hidden)


def _text(setting: Setting) -> str:
    return f"{setting.text} Or `…_FILE`." if setting.is_secret else setting.text


def _default(setting: Setting) -> str:
    value = setting.default
    if value == "" or setting.is_secret:
        return ""
    return f"`{str(value).lower() if isinstance(value, bool) else value}`"


def _cell(text: str) -> str:
    return text.replace("|", "\\|")
