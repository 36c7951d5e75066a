"""What the package publishes: the JSON Schema, the migrations, the error tree."""

import inspect
import pickle
import re

import pytest

from trailhouse.schemas import EventType, KafkaConfig, errors
from trailhouse.schemas.event_type import is_type_name
from trailhouse.schemas.json_schema import generate, published
from trailhouse.schemas.migrations import migrations
from trailhouse.schemas.topic import topic_options

CLASSES = [
    value
    for _, value in inspect.getmembers(errors, inspect.isclass)
    if value.__module__ == errors.__name__
]


def test_the_json_schema_is_the_struct() -> None:
    """The file that ships is what the struct generates: run `make schema` after a change."""
    assert published() == generate()


def test_migrations_are_numbered_and_never_edited() -> None:
    """A migration that has shipped keeps its bytes; a change is a new file."""
    shipped = {
        1: "event_log",
        2: "producers_and_incidents",
        3: "read_model",
        4: "views_for_readers",
        5: "proof",
    }

    assert {migration.number: migration.name for migration in migrations()} == shipped
    assert all(re.fullmatch(r"[0-9a-f]{64}", migration.sha256) for migration in migrations())
    assert all(statement.startswith("CREATE ") for statement in migrations()[0].statements)


def test_every_known_type_is_a_legal_name() -> None:
    """The 43 known types follow the rule of custom ones."""
    assert len(EventType) == 43
    assert all(is_type_name(name) for name in EventType)


def test_the_error_tree_is_drawn_as_it_is() -> None:
    """The tree in the module's docstring shows every class, under its base."""
    above: list[str] = []
    bases: dict[str, str] = {}
    for branch, name in re.findall(
        r"^    ([│├└─ ]*)(\w+Error)\b", errors.__doc__ or "", re.MULTILINE
    ):
        above = [*above[: len(branch) // 3], name]
        bases[name] = above[-2] if branch else "Exception"

    assert bases == {kind.__name__: kind.__mro__[1].__name__ for kind in CLASSES}


@pytest.mark.parametrize(
    "error",
    [
        errors.InvalidEventError("session_id", "is missing"),
        errors.EventTooLargeError(10, 5),
        errors.DeliveryRejectedError("refused", "CODE"),
        errors.BrokerRejectedError("refused", "CODE"),
        errors.OffsetsExpiredError("gone"),
        errors.StorageRejectedError("refused", 60, "UNKNOWN_TABLE"),
        errors.StorageDataError("refused", 53, "TYPE_MISMATCH"),
    ],
)
def test_errors_survive_pickling(error: errors.TrailhouseError) -> None:
    """An error crosses a process boundary with its text and its fields."""
    copy = pickle.loads(pickle.dumps(error))

    assert type(copy) is type(error)
    assert (str(copy), vars(copy)) == (str(error), vars(error))


def test_the_topic_keeps_order_and_everything() -> None:
    """The topic has the broker's clock, no compaction, and two in-sync replicas when there are three."""
    options = topic_options(KafkaConfig(replication=3, retention_hours=2))

    assert options["message.timestamp.type"] == "LogAppendTime"
    assert options["cleanup.policy"] == "delete"
    assert options["min.insync.replicas"] == "2"
    assert options["retention.ms"] == "7200000"
