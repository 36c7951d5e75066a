"""Row policies and settings that hide rows: told where they can be seen, and never called none where they cannot."""

from collections.abc import Mapping
from typing import Any, cast

import pytest

from trailhouse.operate.verify.duties.views.handlers import handlers_of_ours, takes
from trailhouse.operate.verify.duties.views.reader_settings import (
    AnswerSetting,
    settings_of_others,
    settings_of_ours,
)
from trailhouse.operate.verify.duties.views.row_policies import TablePolicy, grant_line, policies_of
from trailhouse.schemas.errors import StorageRejectedError
from trailhouse.store import ClickHouse, ClickHouseConfig
from trailhouse.store.clickhouse import Result

POLICIES, MASKS, ELEMENTS, SETTINGS, DIRECTORIES = (
    "system.row_policies",
    "system.masking_policies",
    "system.settings_profile_elements",
    "system.settings",
    "system.user_directories",
)


class Server:
    """Stands for a ClickHouse: of each system table it has rows, or refuses them."""

    config = ClickHouseConfig(database="audit")

    def __init__(self, tables: Mapping[str, list[tuple[Any, ...]] | str]) -> None:
        self._tables = tables

    def query(self, sql: str, _: object = None, **__: object) -> Result:
        """Return the rows of the table that *sql* reads."""
        if "getSetting" in sql:
            return Result((), [("{}",)])
        if "CHECK GRANT" in sql:
            return Result((), [(int("SHOW HANDLERS" in self._tables),)])
        named = max((name for name in self._tables if f"FROM {name}" in sql), key=len)
        rows = self._tables[named]
        if isinstance(rows, str):
            raise StorageRejectedError("ClickHouse refuses", name=rows)
        return Result((), rows)


def _server(**tables: list[tuple[Any, ...]] | str) -> ClickHouse:
    named = {
        "policies": POLICIES,
        "masks": MASKS,
        "elements": ELEMENTS,
        "ours": SETTINGS,
        "directories": DIRECTORIES,
        "handlers": "system.handlers",
        "may_see": "SHOW HANDLERS",
    }
    return cast(ClickHouse, Server({named[each]: rows for each, rows in tables.items()}))


def _row(clickhouse: ClickHouse) -> object:
    return policies_of(clickhouse, "row")


def _masking(clickhouse: ClickHouse) -> object:
    return policies_of(clickhouse, "masking")


def test_what_can_be_seen_is_told() -> None:
    """Whose it is and what it is called, and not what it says."""
    hiding = [("user reader", "additional_table_filters", "{'event_log': 'x'}", 1)]
    assert settings_of_others(_server(elements=hiding)) == (
        AnswerSetting("user reader", "additional_table_filters", hides=True),
    )
    assert settings_of_ours(_server(ours=[("final", "0", 1)])) == ("final",)
    assert _row(_server(policies=[("p", "audit", "*")])) == (TablePolicy("p", ""),)
    assert _masking(_server(masks=[("m", "audit", "events")])) == (TablePolicy("m", "events"),)


@pytest.mark.parametrize("asked", [settings_of_others, _row, _masking])
def test_what_cannot_be_seen_is_not_called_none(asked: Any) -> None:
    """Unless the server can have none: all of its users are in one configuration without any of others."""
    refused: Any = dict.fromkeys(("elements", "policies", "masks"), "ACCESS_DENIED")
    alone = _server(**refused, directories=[("users_xml", "{}")])
    with_others = _server(**refused, directories=[("users_xml", "{}"), ("local_directory", "{}")])
    unknown = _server(**refused, directories="ACCESS_DENIED")
    assert asked(alone) == ()
    assert asked(with_others) is None
    assert asked(unknown) is None


def test_who_cannot_see_is_told_the_statement_that_lets_him() -> None:
    """With his name as SQL has it, whatever signs are in it."""
    line = grant_line("au`di\\tor", "SHOW SETTINGS PROFILES")
    assert line.endswith("GRANT SHOW SETTINGS PROFILES ON *.* TO `au\\`di\\\\tor`")


@pytest.mark.parametrize("asked", [settings_of_others, _row])
def test_another_refusal_is_raised(asked: Any) -> None:
    """A server that does not know the table has not said that there is none."""
    server = _server(elements="UNKNOWN_TABLE", policies="UNKNOWN_TABLE")
    with pytest.raises(StorageRejectedError):
        asked(server)


def test_a_clickhouse_without_masking_policies_has_none() -> None:
    """They are newer than the oldest that is supported."""
    assert _masking(_server(masks="UNKNOWN_TABLE")) == ()


@pytest.mark.parametrize(
    ("kind", "url", "is_ours"),
    [
        ("exact", "/", True), ("exact", "", True), ("exact", "/report", False), ("prefix", "/", True),
        ("prefix", "/report", False), ("regexp", "/.*", True), ("regexp", "/report", False), ("regexp", "(", True),
    ],
)  # fmt: skip
def test_a_handler_that_may_take_what_we_ask_is_told(kind: str, url: str, is_ours: bool) -> None:
    """By each way in which ClickHouse compares; one whose expression nobody can read may be any."""
    assert takes(kind, url, "/") is is_ours


def test_a_handler_is_named_where_it_is_in_front_of_our_address() -> None:
    """With the path that a proxy has before it; and a ClickHouse that knows no handlers has none."""
    rows: list[tuple[Any, ...]] = [("mine", "exact", "/report"), ("sly", "prefix", "/")]
    assert handlers_of_ours(_server(handlers=rows, may_see=[])) == ("sly",)
    assert handlers_of_ours(_server(handlers="UNKNOWN_TABLE")) == ()
    hidden = _server(handlers=[], directories=[("users_xml", "{}"), ("ldap", "{}")])
    assert handlers_of_ours(hidden) is None
    alone = _server(handlers=[], directories=[("users_xml", "{}")])
    assert handlers_of_ours(alone) == ()
