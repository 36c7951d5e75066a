"""`trailhouse erase`: records of a person, a session, an event or a text are made blank, by an operator's order."""

import datetime as dt
import sys
import tempfile
import uuid
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from trailhouse.cli.output.console import say, tell, tell_step
from trailhouse.cli.output.printable import counted

if TYPE_CHECKING:
    from trailhouse.operate.erase.orders import Erased, Operator
    from trailhouse.operate.erase.sought import Found, Sought
    from trailhouse.proof.policy import Policy
    from trailhouse.schemas.kafka_config import KafkaConfig
    from trailhouse.store import ClickHouse

EXAMPLES = (
    "trailhouse erase --subject user-4711 --dry-run",
    'trailhouse erase --session SESSION --reason "request 12" --operator alice --operator-key alice.pem',
    "trailhouse erase --reapply",
)
OperatorOption = Annotated[
    str, typer.Option(metavar="NAME", help="Who orders it, as the policy names him.")
]
OperatorKeyOption = Annotated[
    Path | None,
    typer.Option("--operator-key", metavar="FILE", help="His private key."),
]


def erase(
    subject: Annotated[
        str | None, typer.Option(metavar="ACTOR", help="Events of this actor's id.")
    ] = None,
    session: Annotated[str | None, typer.Option(help="Events of this session.")] = None,
    event: Annotated[str | None, typer.Option(help="The event of this id.")] = None,
    text: Annotated[
        str | None, typer.Option(help="Records that hold this text anywhere, such as an address.")
    ] = None,
    tenant: Annotated[
        str | None, typer.Option(help="Of these only those of a tenant; '' for none.")
    ] = None,
    reason: Annotated[str, typer.Option(help="Why; it is kept, so no name should be in it.")] = "",
    operator: OperatorOption = "",
    operator_key: OperatorKeyOption = None,
    certificate: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE", help="Where the signed certificate goes; `erasure-NUMBER` if not given."
        ),
    ] = None,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Only say how many records are meant.")
    ] = False,
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask.")] = False,
    reapply: Annotated[
        bool,
        typer.Option(
            "--reapply", help="Make blank again what earlier orders name, as after a restore."
        ),
    ] = False,
) -> None:
    """Erase records: an operator's signed order names their hashes, and every row that holds one is made blank.

    Leaves, roots and proofs stay as they were signed. The order stands: a replay, a late copy or a backup that is
    restored brings nothing back. What is under a legal hold (`trailhouse hold`) is refused. Each order is an event
    `audit_erasure` too: who ordered, and how many records.
    """
    from trailhouse.operate.derived_rows import patient
    from trailhouse.operate.erase.orders import reapply as apply_again
    from trailhouse.operate.erase.sought import Sought, find
    from trailhouse.operate.proof_keys.in_force import policy_in_force
    from trailhouse.proof.config import ProofConfig
    from trailhouse.store import ClickHouse, ClickHouseConfig
    from trailhouse.store.migrate import check_with

    sought = Sought(
        subject=subject, session=session, event=event_id_of(event), text=text, tenant=tenant
    )
    if reapply is (sought != Sought()):
        raise typer.BadParameter("say which records, or --reapply")
    config = ProofConfig()
    with ClickHouse(patient(ClickHouseConfig())) as storage:
        check_with(storage)
        policy = policy_in_force(storage, config)
        if reapply:
            say(f"{counted(apply_again(storage, policy, tell_step).total, 'row')} made blank again")
            return
        found = find(storage, sought)
        say(_meant(found))
        if dry_run or not found.digests:
            return
        who = operator_of(operator, operator_key, reason)
        _see_that_it_can_be_written(certificate)
        if not yes:
            _ask()
        _erase(storage, policy, who, found, sought, reason, certificate)


def operator_of(name: str, key_file: Path | None, reason: str) -> "Operator":
    """Return who orders.

    Raises:
        BadParameter: He, his key or his reason is missing.
    """
    from trailhouse.operate.erase.orders import Operator
    from trailhouse.proof.keys import read_key_file

    if not name or key_file is None:
        raise typer.BadParameter("must say who orders it: --operator and --operator-key")
    if not reason.strip():
        raise typer.BadParameter("must say why", param_hint="--reason")
    return Operator(name=name, signer=read_key_file(key_file))


def _erase(
    storage: "ClickHouse",
    policy: "Policy",
    who: "Operator",
    found: "Found",
    sought: "Sought",
    reason: str,
    target: Path | None,
) -> None:
    from trailhouse.operate.erase.certificate import (
        certificate,
        certificate_lines,
        signed_certificate,
    )
    from trailhouse.operate.erase.orders import erase as order
    from trailhouse.operate.proof_keys.in_force import write_whole
    from trailhouse.schemas.errors import ConfigError
    from trailhouse.schemas.kafka_config import KafkaConfig

    erased = order(storage, policy, who, found, reason=reason, report=tell_step)
    _log_event(erased)
    kafka = KafkaConfig()
    made = certificate(
        erased,
        topic=kafka.topic,
        retention_hours=_retention_hours(kafka),
        is_by_text=sought.text is not None,
        now=dt.datetime.now(dt.UTC),
    )
    for line in certificate_lines(made):
        say(line)
    file = target or Path(f"erasure-{erased.orders[0].number}")
    content = signed_certificate(made, who.signer)
    try:
        write_whole(file, content)
    except ConfigError:
        say(content)  # it is made once
        raise
    tell(f"the certificate is in {file}, signed by {who.name}")


def _log_event(erased: "Erased") -> None:
    """Write the orders down as events; where that fails it is told, and they stand."""
    from trailhouse.cli.erasure_event import log_erased
    from trailhouse.schemas.errors import TrailhouseError

    try:
        log_erased(erased)
    except (TrailhouseError, ImportError) as error:
        tell(f"warning: the erasure could not be logged as an event: {error}")


def _see_that_it_can_be_written(certificate: Path | None) -> None:
    """See to it before anything is erased: afterwards there is nothing to make another certificate of."""
    if certificate is not None and certificate.exists():
        raise typer.BadParameter(f"{certificate} is there already", param_hint="--certificate")
    folder = Path() if certificate is None else certificate.parent
    try:
        with tempfile.TemporaryFile(dir=folder):
            pass
    except OSError as error:
        raise typer.BadParameter(
            f"nothing can be written to {folder.absolute()} ({error.strerror})",
            param_hint="--certificate",
        ) from None


def _retention_hours(kafka: "KafkaConfig") -> int | None:
    """Return how long the topic keeps records, by Kafka; None where it does not say, or for ever."""
    from trailhouse.broker.admin import KafkaAdmin
    from trailhouse.schemas.errors import BrokerError

    try:
        with KafkaAdmin(kafka, timeout_seconds=5.0) as admin:
            topic = admin.topic()
    except BrokerError as error:
        tell(f"warning: how long Kafka keeps records is not known: {error}")
        return None
    kept_ms = int(topic.options.get("retention.ms", "-1")) if topic else -1
    return None if kept_ms < 0 else -(-kept_ms // 3_600_000)


def _meant(found: "Found") -> str:
    others = f", {found.quarantined} of them in quarantine" if found.quarantined else ""
    return (
        f"{counted(len(found.digests), 'record')} of {counted(len(found.sessions), 'session')}"
        f" would be erased{others}"
    )


def _ask() -> None:
    if not sys.stdin.isatty():
        raise typer.BadParameter("--yes is needed where nobody can be asked")
    typer.confirm("Erase them? This cannot be undone.", abort=True, err=True)


def event_id_of(text: str | None) -> str | None:
    """Return the id as rows have it.

    Raises:
        BadParameter: It is no UUID.
    """
    if text is None:
        return None
    try:
        return str(uuid.UUID(text))
    except ValueError:
        raise typer.BadParameter("must be an event's id, a UUID", param_hint="--event") from None
