"""`trailhouse account`: the balance sheet of what producers have emitted."""

import datetime as dt
from collections.abc import Iterator
from typing import TYPE_CHECKING, Annotated

import typer

from trailhouse.cli.output.console import say, tell, tell_step
from trailhouse.cli.output.formats import Format, FormatOption
from trailhouse.cli.output.printable import counted
from trailhouse.cli.output.written import written
from trailhouse.cli.times_and_offsets import EXAMPLES as TIMES
from trailhouse.cli.times_and_offsets import since as since_of

if TYPE_CHECKING:
    from trailhouse.operate.account.absent import Absent
    from trailhouse.operate.account.attested import Attested
    from trailhouse.operate.account.balance import Account

EXAMPLES = (
    "trailhouse account",
    "trailhouse account --since 1h",
    "trailhouse account --session airline-07",
)
_PLACES = ("spooled", "in_kafka", "stored", "quarantined", "expired", "missing")
SHOWN_ABSENT = 200
SHOWN_PRODUCERS = 20
_MEANINGS = {
    "attested": "a seal of an enrolled service names them",
    "pending": "of enrolled services; no seal is due yet",
    "unattested": "nobody enrolled stands behind them",
    "disputed": "they contradict a seal, or their service may not write there",
}


def account(
    since: Annotated[
        dt.datetime | None,
        typer.Option(
            parser=since_of,
            metavar="TIME",
            help=f"From each producer's first event that Kafka took since: {TIMES}.",
        ),
    ] = None,
    session: Annotated[
        str | None, typer.Option(help="Only this session, and what is missing beside its events.")
    ] = None,
    format: FormatOption = Format.TABLE,
) -> None:
    """Print emitted = spooled + in Kafka + stored + quarantined + expired, and name what is missing.

    Producers number their events; what is in a spool is counted on this machine alone.

    Where services are enrolled, it says who stands behind what is stored. The exit code is 1 when an event is missing,
    by its number or by a seal, a producer's numbers jump as no loss explains, or nothing is known of the session.
    """
    from trailhouse.consumer.config import WorkerConfig
    from trailhouse.operate.account.balance import account as balance
    from trailhouse.operate.account.snapshot import Scope
    from trailhouse.schemas.kafka_config import KafkaConfig
    from trailhouse.store import ClickHouse, ClickHouseConfig
    from trailhouse.store.migrate import check_with

    kafka, clickhouse, worker = KafkaConfig(), ClickHouseConfig(), WorkerConfig()
    with ClickHouse(clickhouse) as storage:
        check_with(storage)
        found = balance(
            kafka,
            storage,
            worker.group_id,
            spooled=lambda: _spooled(kafka.topic),
            scope=Scope(since=since, session_id=session),
            report=tell_step,
        )
    if not written(format, found):
        _print(found)
    is_unknown = session is not None and not (found.emitted or found.unnumbered)
    if is_unknown:
        tell(f"no events of session {session!r}; `trailhouse sessions` lists the last ones")
    is_short = found.standing is not None and found.standing.missing > 0
    if found.missing or found.implausible or is_unknown or is_short:
        raise typer.Exit(1)


def _spooled(topic: str) -> Iterator[bytes]:
    """Yield the records in this machine's spools that are on their way to *topic*."""
    from trailhouse.producer.config import ProducerConfig
    from trailhouse.producer.spool.frame import Frame
    from trailhouse.producer.spool.metadata import destination_of
    from trailhouse.producer.spool.reader import frames_of
    from trailhouse.producer.spool.root import folders, root_of

    for path in folders(root_of(ProducerConfig())):
        destination = destination_of(path)
        if destination is None or destination.topic == topic:
            for found, _ in frames_of(path):
                if isinstance(found, Frame):
                    yield found.record


def _print(found: "Account") -> None:
    say(f"{'emitted':<12} {found.emitted:>12}   by {counted(found.producers, 'producer')}")
    for name in _PLACES:
        say(f"  {name.replace('_', ' ').replace('kafka', 'Kafka'):<10} {getattr(found, name):>12}")
    if found.implausible:
        say(
            f"{'implausible':<12} {found.implausible:>12}   jumps in numbers: forged or damaged, and not counted"
        )
    if found.unnumbered:
        say(f"{'unnumbered':<12} {found.unnumbered:>12}   stored, emitted without a source")
    if found.standing is not None:
        _print_standing(found.standing)
    for each in found.absent[:SHOWN_ABSENT]:
        say(_line(each))
    if len(found.absent) > SHOWN_ABSENT:
        say(f"… and {len(found.absent) - SHOWN_ABSENT} more ranges; --format json names them")
    for part in found.incomplete:
        if part.unnamed:
            say(
                f"missing: {counted(part.unnamed, 'more event')} of producer {part.producer_id}, in holes between"
                f" seq {part.unnamed_first_seq} and {part.unnamed_last_seq}"
            )


def _print_standing(found: "Attested") -> None:
    for name in ("attested", "pending", "unattested", "disputed"):
        say(f"{name:<12} {getattr(found, name):>12}   {_MEANINGS[name]}")
    for each in found.producers[:SHOWN_PRODUCERS]:
        up_to = "no seal" if each.sealed_up_to is None else f"sealed up to seq {each.sealed_up_to}"
        parts = [
            f"{count} {name}"
            for name in ("missing", "disputed", "unattested", "pending")
            if (count := getattr(each, name))
        ]
        who = f"{each.service or 'no service'} {each.producer_id or 'without a number'}"
        say(f"  {who}: {up_to}{', closed' if each.is_closed else ''}: {', '.join(parts)}")
    more = found.more_producers + max(0, len(found.producers) - SHOWN_PRODUCERS)
    if more:
        say(f"  … and {counted(more, 'more producer')}")
    if found.refused_seals:
        say(
            f"{counted(found.refused_seals, 'seal')} do not count: forged, or no key of the policy made them"
        )
    if found.missing:
        say(
            f"missing: {counted(found.missing, 'event')} that seals name: they were made, and are not stored"
        )


def _line(absent: "Absent") -> str:
    seqs = str(absent.first_seq)
    if absent.last_seq != absent.first_seq:
        seqs += f" to {absent.last_seq}"
    what = "expired" if absent.is_expired else "missing"
    if absent.is_implausible:
        return (
            f"implausible: producer {absent.producer_id} jumps over seq {seqs}{_whose(absent)}:"
            " no loss explains that; see the event after it"
        )
    return f"{what}: {counted(absent.events, 'event')} of producer {absent.producer_id}, seq {seqs}{_whose(absent)}"


def _whose(absent: "Absent") -> str:
    where = f", service {absent.service} on {absent.host}" if absent.service or absent.host else ""
    beside = " and ".join(repr(name) for name in absent.sessions)
    return where + (f", beside events of session {beside}" if beside else "")
