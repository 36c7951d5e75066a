"""`trailhouse status`: how far the pipeline is, and which part is away."""

from typing import TYPE_CHECKING

import typer

from trailhouse.cli.output.console import say
from trailhouse.cli.output.formats import Format, FormatOption
from trailhouse.cli.output.printable import counted
from trailhouse.cli.output.statements import ShowSqlOption
from trailhouse.cli.output.written import written

if TYPE_CHECKING:
    from trailhouse.operate import KafkaState, PipelineStatus, StoreState
    from trailhouse.operate.proof_keys.proof_state import ProofState

EXAMPLES = ("trailhouse status", "trailhouse status --format json")


def status(format: FormatOption = Format.TABLE, show_sql: ShowSqlOption = False) -> None:
    """Print lag, members, open transactions, what is stored, quarantined, signed and anchored, incidents, versions.

    The exit code is 1 when Kafka or ClickHouse does not answer; the other is told all the same.
    """
    from trailhouse.consumer.config import WorkerConfig
    from trailhouse.operate.status import pipeline_status
    from trailhouse.proof.config import ProofConfig
    from trailhouse.schemas.kafka_config import KafkaConfig
    from trailhouse.store.config import ClickHouseConfig

    found = pipeline_status(KafkaConfig(), ClickHouseConfig(), WorkerConfig(), ProofConfig())
    if not written(format, found):
        for line in status_lines(found):
            say(line)
    # For scripts: that a part is away must not look like a pipeline at rest.
    if found.problems:
        raise typer.Exit(1)


def status_lines(found: "PipelineStatus") -> list[str]:
    """Return the status as text, one line a fact; a part that is away has one line."""
    lines = [f"trailhouse   {found.trailhouse}"]
    lines += (
        _kafka_lines(found.kafka) if found.kafka else [f"kafka        {found.problems['kafka']}"]
    )
    lines += (
        _store_lines(found.clickhouse)
        if found.clickhouse
        else [f"clickhouse   {found.problems['clickhouse']}"]
    )
    if found.proof is not None:
        lines += _proof_lines(found.proof)
    elif "proof" in found.problems:
        lines.append(f"proof        {found.problems['proof']}")
    return lines


def _proof_lines(state: "ProofState") -> list[str]:
    if not state.log_name:
        return ["proof        unsigned: [proof] log_name is not set"]
    if state.unknown:
        return [
            f"proof        log {state.log_name}, owner {state.owner_fingerprint}, {state.unknown}"
        ]
    if not state.policy_version:
        owner = f"owner {state.owner_fingerprint}" if state.owner_fingerprint else "no owner pinned"
        lines = [f"proof        log {state.log_name}, {owner}, no policy in force"]
    else:
        sizes = state.signed_leaves.values()
        anchored = (
            f"anchor {state.last_anchor} of {state.last_anchored_at}"
            if state.last_anchor
            else "no anchor yet"
        )
        lines = [
            f"proof        log {state.log_name}, policy version {state.policy_version},"
            f" owner {state.owner_fingerprint}",
            f"signed       {counted(sum(sizes), 'offset')} in {counted(len(sizes), 'log')}, {anchored}",
        ]
    return [*lines, *(f"warning      {warning}" for warning in state.warnings)]


def _kafka_lines(state: "KafkaState") -> list[str]:
    behind = {name: lag for name, lag in state.lag_by_partition.items() if lag}
    parts = ", ".join(f"partition {name}: {lag}" for name, lag in behind.items())
    lines = [
        f"kafka        cluster {state.cluster_id}, {counted(state.brokers, 'broker')}, topic {state.topic},"
        f" {counted(len(state.lag_by_partition), 'partition')}",
        f"lag          {counted(state.lag_records, 'record')} behind in group {state.group_id}"
        + (f" ({parts})" if parts else ""),
    ]
    if state.members is not None:
        workers = sum(member.is_worker for member in state.members)
        others = len(state.members) - workers
        lines.append(
            f"members      {counted(workers, 'worker')}" + (f", {others} unknown" if others else "")
        )
    lines += [
        f"transaction  open in partition {number}: nobody reads on from offset {offset} until it ends"
        for number, offset in state.open_transactions.items()
    ]
    return [*lines, *(f"warning      {warning}" for warning in state.warnings)]


def _store_lines(state: "StoreState") -> list[str]:
    last = (
        f"occurred {state.last_occurred_at}, appended {state.last_appended_at}"
        if state.last_occurred_at
        else "none"
    )
    return [
        f"clickhouse   {state.version}, migration {state.migration}",
        f"stored       {counted(state.stored_events, 'event')}",
        f"quarantined  {counted(state.quarantined_records, 'record')}",
        f"incidents    {_incidents(state.incidents)}",
        f"last event   {last}",
    ]


def _incidents(found: dict[str, int]) -> str:
    kinds = ", ".join(f"{kind} {count}" for kind, count in found.items())
    return f"{sum(found.values())} ({kinds})" if found else "none"
