"""The settings of reads: what one may cost, and what cursors are sealed with."""

import hashlib
from typing import Any

import msgspec

from trailhouse.query.budget import DEFAULT_SECONDS, ReadBudget
from trailhouse.schemas.setting_names import check_names
from trailhouse.schemas.settings import LONGEST_WAIT_SECONDS, require, setting, settle
from trailhouse.store.config import ClickHouseConfig

LEAST_SECRET_CHARACTERS = 32


class ReaderConfig(msgspec.Struct, frozen=True, kw_only=True):
    """What every read of this process keeps to. Making one raises `ConfigError` on a bad setting."""

    budget_seconds: float = setting(
        "reader",
        "budget_seconds",
        DEFAULT_SECONDS,
        "Longest time for one read; what was found until then is the answer, and says so.",
        kind=float,
    )
    cursor_secret: str = setting(
        "reader",
        "cursor_secret",
        "",
        "What cursors and tokens of followers are sealed with, 32 characters or more; the same in every process"
        " that continues another's walk. Empty: ClickHouse's address, user and password.",
        is_secret=True,
    )

    def __post_init__(self) -> None:
        settle("reader", self)
        check_names("reader")
        require(
            0 < self.budget_seconds <= LONGEST_WAIT_SECONDS,
            "reader.budget_seconds",
            f"above 0, at most {LONGEST_WAIT_SECONDS:g}",
        )
        require(
            not self.cursor_secret or len(self.cursor_secret) >= LEAST_SECRET_CHARACTERS,
            "reader.cursor_secret",
            f"empty, or {LEAST_SECRET_CHARACTERS} characters or more",
        )

    def secret_for(self, clickhouse: ClickHouseConfig) -> str:
        """Return what cursors and tokens are sealed with: `cursor_secret`, or else what is known of ClickHouse.

        So they outlive a process, and whoever could forge one knows how to read ClickHouse itself.
        """
        known = (
            "cursor",
            clickhouse.url,
            clickhouse.user,
            clickhouse.password,
            clickhouse.database,
        )
        return self.cursor_secret or hashlib.sha256("\0".join(known).encode()).hexdigest()

    @property
    def budget(self) -> ReadBudget:
        """The budget of a read that is given none of its own."""
        return ReadBudget(seconds=self.budget_seconds)

    def __repr__(self) -> str:
        return f"ReaderConfig(budget_seconds={self.budget_seconds!r}, …)"

    def __rich_repr__(self) -> list[tuple[str, Any]]:
        """Return what rich may show, in a traceback's locals too: no secret."""
        return [("budget_seconds", self.budget_seconds)]
