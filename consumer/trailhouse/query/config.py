"""The settings of reads: what one may cost, and what cursors are sealed with."""

from typing import Any

import msgspec

from trailhouse.query.budget import DEFAULT_SECONDS, ReadBudget
from trailhouse.schemas.setting_names import check_names
from trailhouse.schemas.settings import LONGEST_WAIT_SECONDS, require, setting, settle

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
        "What cursors are sealed with, 32 characters or more; the same in every process that continues"
        " another's walk. Empty: cursors end with their process.",
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

    @property
    def budget(self) -> ReadBudget:
        """The budget of a read that is given none of its own."""
        return ReadBudget(seconds=self.budget_seconds)

    def __repr__(self) -> str:
        return f"ReaderConfig(budget_seconds={self.budget_seconds!r}, …)"

    def __rich_repr__(self) -> list[tuple[str, Any]]:
        """Return what rich may show, in a traceback's locals too: no secret."""
        return [("budget_seconds", self.budget_seconds)]
