"""The settings of access: where the tokens are, and whether reads are audited."""

import os
from pathlib import Path

import msgspec

from trailhouse.schemas.errors import ConfigError
from trailhouse.schemas.setting_names import check_names
from trailhouse.schemas.settings import setting, settle


class AccessConfig(msgspec.Struct, frozen=True, kw_only=True):
    """Settings of who may read. Making one raises `ConfigError` on a bad setting."""

    tokens_file: str = setting(
        "access",
        "tokens_file",
        "",
        "File of the tokens' hashes; empty for `trailhouse/tokens.json` under `$XDG_STATE_HOME` or `~/.local/state`.",
    )
    audit_reads: bool = setting(
        "access",
        "audit_reads",
        True,
        "Each read through the HTTP API, MCP or `trailhouse sql` is an event `audit_read`; `false`: none is.",
        kind=bool,
    )

    def __post_init__(self) -> None:
        settle("access", self)
        check_names("access")

    @property
    def tokens_path(self) -> Path:
        """The file of the tokens.

        Raises:
            ConfigError: The settings name none, and the user has no home folder. Permanent.
        """
        if self.tokens_file:
            return Path(self.tokens_file).expanduser().absolute()
        state = os.environ.get("XDG_STATE_HOME") or "~/.local/state"
        try:
            return (Path(state).expanduser() / "trailhouse" / "tokens.json").absolute()
        except RuntimeError:
            raise ConfigError(
                "this user has no home folder for the tokens: set TRAILHOUSE_ACCESS_TOKENS_FILE"
            ) from None
