"""Settings that change which rows a statement sees: of profiles, users and roles, and of the user who asks now.

`additional_table_filters` hides rows from whom it binds as a row policy does, and an overflow mode of `break` gives a
part of an answer for the whole. Of others they are seen with a grant; of ourselves always, so that nobody hides from
the auditor alone what readers are shown.
"""

from typing import NamedTuple

from trailhouse.operate.verify.row_policies import can_have_no_users
from trailhouse.schemas.errors import StorageRejectedError
from trailhouse.store.clickhouse import ClickHouse

_HIDING = (
    "name IN ('additional_table_filters', 'additional_result_filter') AND value NOT IN ('', '{}')"
    " OR name IN ('limit', 'offset') AND value NOT IN ('', '0')"
    " OR name = 'apply_deleted_mask' AND value IN ('0', 'false')"
    " OR name = 'prefer_column_name_to_alias' AND value IN ('1', 'true')"
    " OR endsWith(name, '_overflow_mode') AND value IN ('break', 'any')"
)
_OF_OTHERS = f"""
    SELECT DISTINCT
        concat(multiIf(isNotNull(user_name), 'user ', isNotNull(role_name), 'role ', 'profile '),
            coalesce(user_name, role_name, profile_name, '')) AS holder,
        assumeNotNull(setting_name) AS name, ifNull(value, '') AS value
    FROM system.settings_profile_elements WHERE isNotNull(setting_name) AND ({_HIDING}) ORDER BY holder, name
"""  # noqa: S608 - names of ours
_OF_OURS = f"SELECT name FROM system.settings WHERE changed AND ({_HIDING}) ORDER BY name"  # noqa: S608 - as above


class HidingSetting(NamedTuple):
    """A setting by its name, and who has it: ``user reader``; never its value, which may hold somebody's name."""

    holder: str
    name: str


def settings_of_others(clickhouse: ClickHouse) -> tuple[HidingSetting, ...] | None:
    """Return those of all profiles, users and roles; None where this user may not see them, and there may be some.

    Raises:
        StorageError: ClickHouse is away (retriable) or refuses (permanent).
    """
    try:
        rows = clickhouse.query(_OF_OTHERS, in_database=False).rows
    except StorageRejectedError as error:
        if error.name != "ACCESS_DENIED":
            raise
        return () if can_have_no_users(clickhouse) else None
    return tuple(HidingSetting(str(holder), str(name)) for holder, name, _ in rows)


def settings_of_ours(clickhouse: ClickHouse) -> tuple[HidingSetting, ...]:
    """Return those under which our own statements run.

    Raises:
        StorageError: ClickHouse is away (retriable) or refuses (permanent).
    """
    rows = clickhouse.query(_OF_OURS, in_database=False).rows
    return tuple(HidingSetting("the user who verifies", str(name)) for (name,) in rows)
