"""Attacks on what readers are shown of who stands behind an event, where an honest change of it lies behind."""

from msgspec import structs

from attack import Who, on_copy
from attack_scene import HOUR_MS, OPERATOR, AttackedLog, Commit
from made_keys import made_key
from sealing_scene import Logger
from trailhouse.operate.erase.orders import Operator, erase
from trailhouse.operate.erase.sought import Sought, find
from trailhouse.proof.policy import Policy
from trailhouse.schemas import AuditEvent

NOW = "SETTINGS mutations_sync = 2"
LATER_MS = 2 * HOUR_MS - 150_000
UNSEALED = "kafka_partition = 2 AND kafka_offset = 3"
SEALED = "session_id = 's2' AND kafka_partition = 0 AND kafka_offset = 2"


def _shown(log: AttackedLog, standing: str, version: int, where: str) -> None:
    """Have readers be shown an event as *standing*, and nothing else of it."""
    key = log.one(f"SELECT hex(record_key) FROM event_log WHERE {where} LIMIT 1")
    log.sql(f"ALTER TABLE event_standings DELETE WHERE hex(record_key) = '{key}' {NOW}")
    log.sql(
        f"INSERT INTO event_standings SELECT occurred_us, record_key, '{standing}', {version}"
        f" FROM event_log WHERE {where} LIMIT 1"
    )


def _erased(log: AttackedLog, session: str) -> None:
    found = find(log.clickhouse, Sought(session=session))
    operator = Operator(name="ops", signer=OPERATOR)
    erase(log.clickhouse, log.policy(), operator, found, reason="asked for")
    log.judge()


def _widened(log: AttackedLog) -> Policy:
    """Have a second policy say of the agents that they write for one tenant more; judge by it."""
    first = log.policy()
    agents, tools = first.services
    wider = structs.replace(agents, tenants=(*agents.tenants, "c"))
    second = log.policy(version=2, previous=first.sha256, services=(wider, tools))
    log.publish(second)
    log.judge(second)
    return second


def _logger(log: AttackedLog, producer_id: str) -> Logger:
    return Logger("agents", producer_id, log.keys.agents.signer)


@on_copy(Who.CLICKHOUSE, "standings")
def an_event_of_nobody_is_shown_as_attested_where_a_seal_was_erased(log: AttackedLog) -> None:
    _erased(log, "seal:p1")
    _shown(log, "attested", 7, UNSEALED)


@on_copy(Who.CLICKHOUSE, "standings")
def what_an_older_policy_made_of_an_event_is_shown_again(log: AttackedLog) -> None:
    """The seal was judged by the newer one since, and no worker looks at it again."""
    _widened(log)
    _shown(log, "disputed", 6, SEALED)


@on_copy(Who.CLICKHOUSE, "standings")
def a_seal_is_said_to_be_judged_by_an_older_policy_and_otherwise(log: AttackedLog) -> None:
    """A worker judges it again; until it comes readers are shown what never was found of it."""
    _widened(log)
    where = "kafka_partition = 0 AND kafka_offset = 12"
    log.sql(
        "ALTER TABLE seal_checks UPDATE verdict = 'broken', sealed = 0, missing = 0,"
        f" policy_version = 1 WHERE {where} {NOW}"
    )
    _shown(log, "disputed", 6, SEALED)


@on_copy(Who.CLICKHOUSE, "standings")
def a_strangers_seal_is_believed_and_said_not_to_be_judged_yet(log: AttackedLog) -> None:
    """It names an event of nobody, and is the last of its partition."""
    stranger = Logger("unknown", "p7", made_key(3))
    event = stranger.log("tool_approval_granted", "s0", tenant_id="a", data={"approval_id": "k"})
    log.anchor_under(log.policy())
    log.store_more(Commit({2: [event, stranger.seal()]}, {2: 6}, LATER_MS))
    log.judge()
    log.anchor_under(log.policy())
    log.sql(f"ALTER TABLE seal_checks DELETE WHERE kafka_partition = 2 {NOW}")
    _shown(log, "attested", 7, "kafka_partition = 2 AND kafka_offset = 6")


def _sealed_twice(log: AttackedLog) -> None:
    logger = _logger(log, "p6")
    events: list[AuditEvent] = [logger.log(session_id="s0", tenant_id="a") for _ in range(3)]
    first = logger.seal()
    more = [logger.log(session_id="s0", tenant_id="a") for _ in range(2)]
    second = logger.seal(first_seq=2)
    log.anchor_under(log.policy())
    log.store_more(Commit({2: [*events, first, *more, second]}, {2: 6}, LATER_MS))
    log.judge()
    log.anchor_under(log.policy())


@on_copy(Who.NOBODY)
def a_logger_seals_some_numbers_twice(log: AttackedLog) -> None:
    _sealed_twice(log)


@on_copy(Who.CLICKHOUSE, "standings")
def an_event_that_two_seals_name_is_shown_as_disputed(log: AttackedLog) -> None:
    _sealed_twice(log)
    _shown(log, "disputed", 6, "kafka_partition = 2 AND kafka_offset = 8")


@on_copy(Who.CLICKHOUSE, "standings")
def an_event_beside_those_that_two_seals_name_is_shown_as_disputed(log: AttackedLog) -> None:
    _sealed_twice(log)
    _shown(log, "disputed", 6, "kafka_partition = 2 AND kafka_offset = 6")


@on_copy(Who.NOBODY)
def a_policy_says_more_of_a_service_and_all_is_judged_again(log: AttackedLog) -> None:
    log.anchor_under(_widened(log))


@on_copy(Who.NOBODY)
def two_loggers_of_a_service_seal_in_turns(log: AttackedLog) -> None:
    """In one partition and one session, each its own numbers."""
    one, other = _logger(log, "p3"), _logger(log, "p4")
    values: list[AuditEvent] = []
    for number in range(6):
        values += [each.log(session_id="s0", tenant_id="a") for each in (one, other)]
        if number % 2:
            values.append(one.seal(is_last=number == 5))
        elif number:
            values.append(other.seal())
    values.append(other.seal(is_last=True))
    log.anchor_under(log.policy())
    log.store_more(Commit({2: values}, {2: 6}, LATER_MS))
    log.judge()
    log.anchor_under(log.policy())
