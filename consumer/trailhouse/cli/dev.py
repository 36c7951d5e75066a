"""`trailhouse dev`: Kafka, ClickHouse and a worker on this machine, in the foreground or around a command."""

import shlex
import shutil
import sys
import tempfile
from collections.abc import Generator
from contextlib import contextmanager
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from typer.core import TyperGroup

from trailhouse.cli.output.console import say, tell
from trailhouse.cli.output.formats import Format, FormatOption
from trailhouse.cli.output.written import written

if TYPE_CHECKING:
    from trailhouse.devstack import DevStack, PartName

_COMMAND = "trailhouse.dev.command"
_EPILOG = (
    "Examples:\n\ntrailhouse dev\n\ntrailhouse dev --data-dir ./data --clickhouse-port 18123\n\n"
    "trailhouse dev -- python -m pytest\n\ntrailhouse dev status --format json\n\ntrailhouse dev stop clickhouse"
)


class PartChoice(StrEnum):
    """The parts of a stack."""

    KAFKA = "kafka"
    CLICKHOUSE = "clickhouse"
    WORKER = "worker"


class _DevGroup(TyperGroup):
    """Takes everything after ``--`` as the user's own command, whatever our commands are called."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        # Before Typer sees them: COMMAND may be called `status`, too.
        if "--" in args:
            at = args.index("--")
            ctx.meta[_COMMAND] = args[at + 1 :]
            args = args[:at]
        return super().parse_args(ctx, args)


dev_app = typer.Typer(
    cls=_DevGroup,
    invoke_without_command=True,
    subcommand_metavar="[-- COMMAND [ARGS]... | status | stop | start]",
    help="Run Kafka, ClickHouse and a worker on this machine until Ctrl-C, or for as long as COMMAND runs.",
    epilog=_EPILOG,
)

DataDir = Annotated[
    Path | None,
    typer.Option(
        "--data-dir",
        help="Data folder. Without it: ~/.local/share/trailhouse/dev, or a temporary one around a COMMAND.",
    ),
]
StackDir = Annotated[
    Path | None,
    typer.Option(
        "--data-dir",
        help="Data folder of the running stack.",
        envvar="TRAILHOUSE_DEV_DATA_DIR",
        show_envvar=True,
    ),
]


@dev_app.callback()
def dev(
    context: typer.Context,
    data_dir: DataDir = None,
    kafka_port: Annotated[
        int | None,
        typer.Option(
            min=1, max=65_535, help="Port of Kafka; 9092, or a free one around a COMMAND."
        ),
    ] = None,
    clickhouse_port: Annotated[
        int | None,
        typer.Option(
            min=1, max=65_535, help="Port of ClickHouse; 8123, or a free one around a COMMAND."
        ),
    ] = None,
    worker_port: Annotated[
        int | None,
        typer.Option(
            min=1,
            max=65_535,
            help="Port of the worker's web; 6066, or a free one around a COMMAND.",
        ),
    ] = None,
) -> None:
    """Run the stack; what a sub-command does stands there."""
    if context.invoked_subcommand is not None:
        return
    from trailhouse.devstack import DevStack, Ports, default_data_dir
    from trailhouse.devstack.foreground import hold, run_under
    from trailhouse.operate.first_setup import set_up

    command: list[str] | None = context.meta.get(_COMMAND)
    if command == []:
        raise typer.BadParameter("no command after --")
    # Around a command several stacks may run at once, as in a test; alone, the ports are those one expects.
    usual = Ports.free() if command else Ports()
    ports = Ports(
        kafka_port or usual.kafka, clickhouse_port or usual.clickhouse, worker_port or usual.worker
    )
    if command is None:
        stack = DevStack(data_dir or default_data_dir(), ports=ports, set_up=set_up, echo=_say)
        hold(stack, lambda: _welcome(stack))
        return
    with _folder(data_dir) as folder:
        raise typer.Exit(
            run_under(DevStack(folder, ports=ports, set_up=set_up, echo=_say), command)
        )


@dev_app.command(epilog="Examples:\n\ntrailhouse dev status\n\ntrailhouse dev status --format json")
def status(data_dir: StackDir = None, format: FormatOption = Format.TABLE) -> None:
    """Show the parts of the running stack."""
    answer = _ask(data_dir, "status")
    if written(format, answer):
        return
    say(f"stack on {answer['data_dir']}, pid {answer['pid']}")
    settings = shlex.quote(answer["settings_file"])
    say(f"use it with export TRAILHOUSE_CONFIG_FILE={settings}")
    for name, part in answer["parts"].items():
        say(f"{name:<11}{part['state']:<10}pid {part['pid'] or '-':<8} port {part['port']}")


@dev_app.command(epilog="Example:\n\ntrailhouse dev stop clickhouse")
def stop(
    part: Annotated[PartChoice, typer.Argument(help="Which part.")], data_dir: StackDir = None
) -> None:
    """Stop one part of the running stack; returns when it has ended."""
    _ask(data_dir, "stop", part.value)


@dev_app.command(epilog="Example:\n\ntrailhouse dev start clickhouse")
def start(
    part: Annotated[PartChoice, typer.Argument(help="Which part.")], data_dir: StackDir = None
) -> None:
    """Start one part of the running stack; returns when it is ready."""
    _ask(data_dir, "start", part.value)


def _ask(data_dir: Path | None, action: str, part: "PartName | None" = None) -> dict[str, Any]:
    from trailhouse.devstack import ask_stack, default_data_dir

    return ask_stack((data_dir or default_data_dir()) / "state.json", action, part)


@contextmanager
def _folder(data_dir: Path | None) -> Generator[Path]:
    if data_dir is not None:
        yield data_dir
        return
    # Around a command nothing is to be kept: the stack is as new each time.
    temporary = Path(tempfile.mkdtemp(prefix="trailhouse-"))
    try:
        yield temporary
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


def _say(line: str) -> None:
    tell(f"trailhouse dev: {line}")


def _welcome(stack: "DevStack") -> None:
    ports, variables = stack.ports, stack.environment()
    settings, netrc = shlex.quote(str(stack.settings_file)), shlex.quote(str(stack.netrc_file))
    url, database = (variables[f"TRAILHOUSE_CLICKHOUSE_{name}"] for name in ("URL", "DATABASE"))
    sys.stdout.write(
        f"""
The stack is up; its data is in {stack.data_dir}
  Kafka        127.0.0.1:{ports.kafka}
  ClickHouse   {url}, with a password of its own
  worker       http://127.0.0.1:{ports.worker}/health and /metrics

Try, in another terminal (the file has addresses and password, and is yours alone to read):
  export TRAILHOUSE_CONFIG_FILE={settings}
  echo '{{"type": "run_started", "session_id": "first"}}' | trailhouse emit
  trailhouse log first
  curl --netrc-file {netrc} '{url}/?query=SELECT+type,count()+FROM+{database}.events+GROUP+BY+type'

Ctrl-C stops it.
"""
    )
    sys.stdout.flush()
