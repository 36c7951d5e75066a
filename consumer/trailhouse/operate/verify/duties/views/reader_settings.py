"""Settings that change answers: of profiles, users and roles, and what of it binds our own statements.

Our statements run under ClickHouse's own defaults (`trailhouse.store.plain_settings`), so that of all that only
`additional_table_filters` changes what is verified, or what our readers are shown: it hides rows as a row policy does.
Who asks ClickHouse without us is bound by all of it; an overflow mode of `break` gives him a part of an answer for the
whole. Of others they are seen with a grant.
"""

from typing import NamedTuple

from trailhouse.operate.verify.duties.views.row_policies import can_have_no_users
from trailhouse.schemas.errors import StorageRejectedError
from trailhouse.store.clickhouse import ClickHouse
from trailhouse.store.plain_settings import CHANGED_SQL, CHANGES_ANSWERS

_HIDES = (
    "name IN ('additional_table_filters', 'additional_result_filter', 'filter', 'select') AND value NOT IN ('', '{}')"
    " OR name IN ('limit', 'offset', 'page', 'parallel_replicas_count', 'parallel_replica_offset')"
    " AND value NOT IN ('', '0')"
    " OR name IN ('apply_deleted_mask', 'apply_patch_parts') AND value IN ('0', 'false')"
    " OR name = 'prefer_column_name_to_alias' AND value IN ('1', 'true')"
    " OR match(name, '_overflow_mode(_leaf)?$') AND value IN ('break', 'any')"
)
_OF_OTHERS = f"""
    SELECT DISTINCT
        concat(multiIf(isNotNull(user_name), 'user ', isNotNull(role_name), 'role ', 'profile '),
            coalesce(user_name, role_name, profile_name, '')) AS holder,
        assumeNotNull(setting_name) AS name, ifNull(value, '') AS value, {_HIDES} AS hides
    FROM system.settings_profile_elements
    WHERE isNotNull(setting_name) AND (hides OR {CHANGES_ANSWERS}
        AND (name, value) NOT IN (SELECT name, default FROM system.settings)) ORDER BY holder, name
"""  # noqa: S608 - names of ours
_FILTERS = "SELECT toString(getSetting('additional_table_filters'))"


class AnswerSetting(NamedTuple):
    """A setting by its name, and who has it: ``user reader``; never its value, which may hold somebody's name."""

    holder: str
    name: str
    hides: bool
    """Whether it hides rows or cuts answers short; else it changes what an expression gives."""


def settings_of_others(clickhouse: ClickHouse) -> tuple[AnswerSetting, ...] | None:
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
    return tuple(
        AnswerSetting(str(holder), str(name), bool(hides)) for holder, name, _, hides in rows
    )


def settings_of_ours(clickhouse: ClickHouse) -> tuple[str, ...]:
    """Return the names of those that bind our own statements: this user may not change them, or has just got them.

    Raises:
        StorageError: ClickHouse is away (retriable) or refuses (permanent).
    """
    rows = clickhouse.query(CHANGED_SQL, in_database=False).rows
    # It could hide its own row of the table: here it hides the only row, or is what that says.
    filters = clickhouse.query(_FILTERS, in_database=False).rows
    is_filtered = [tuple(row) for row in filters] != [("{}",)]
    return (*(str(name) for name, *_ in rows), *(["additional_table_filters"] * is_filtered))
