"""The settings of ClickHouse: where it is, and who we are to it."""

import re
from typing import Any

import msgspec

from trailhouse.schemas.secret_destinations import check_cleartext, check_routes
from trailhouse.schemas.setting_names import check_names
from trailhouse.schemas.settings import (
    LONGEST_WAIT_SECONDS,
    require,
    require_file,
    setting,
    settle,
)

_ROUTES = {"password": ("url", "ssl_ca_location", "allow_unencrypted_credentials")}
_parts = re.compile(
    r"https?://(?P<host>\[[0-9A-Fa-f:.]+\]|[^/@\s?#:\[\]]+)(?::(?P<port>[0-9]{1,5}))?/?"
).fullmatch
ASYNC_INSERTS = ("auto", "on", "off")
_CERTIFICATES = ("ssl_ca_location", "ssl_certificate_location", "ssl_key_location")


class ClickHouseConfig(msgspec.Struct, frozen=True, kw_only=True):
    """Where ClickHouse is. Making one raises `ConfigError` on a bad setting."""

    url: str = setting("clickhouse", "url", "http://127.0.0.1:8123", "HTTP address of ClickHouse.")
    user: str = setting("clickhouse", "user", "default", "User.")
    password: str = setting("clickhouse", "password", "", "Password.", is_secret=True)
    database: str = setting(
        "clickhouse", "database", "trailhouse", "Database of the tables; `init` makes it."
    )
    timeout_seconds: float = setting(
        "clickhouse", "timeout_seconds", 30.0, "Longest wait for one statement.", kind=float
    )
    async_insert: str = setting(
        "clickhouse",
        "async_insert",
        "auto",
        "`auto`: the server makes one part of what the workers of a group insert, acknowledged once it is on its"
        " disk; not for one worker alone, nor for large batches. `on`: always; `off`: never.",
    )
    ssl_ca_location: str = setting(
        "clickhouse", "ssl_ca_location", "", "File of trusted certificates; empty for the system's."
    )
    ssl_certificate_location: str = setting(
        "clickhouse",
        "ssl_certificate_location",
        "",
        "File of our own certificate (PEM, with its chain); without a password it is what logs the user in.",
    )
    ssl_key_location: str = setting(
        "clickhouse", "ssl_key_location", "", "File of that certificate's private key (PEM)."
    )
    ssl_key_password: str = setting(
        "clickhouse", "ssl_key_password", "", "Password of the private key.", is_secret=True
    )
    allow_unencrypted_credentials: bool = setting(
        "clickhouse",
        "allow_unencrypted_credentials",
        False,
        "`true`: send the password though nothing encrypts it on its way to another machine.",
        kind=bool,
    )

    def __post_init__(self) -> None:
        sources = settle("clickhouse", self)
        check_names("clickhouse")
        require(_is_url(self.url), "clickhouse.url", "like http://host:8123, without user or path")
        require(
            re.fullmatch(r"[A-Za-z_][A-Za-z0-9_]{0,63}", self.database) is not None,
            "clickhouse.database",
            "1 to 64 letters, digits or underscores",
        )
        require(self.async_insert in ASYNC_INSERTS, "clickhouse.async_insert", "auto, on or off")
        require(
            0 < self.timeout_seconds <= LONGEST_WAIT_SECONDS,
            "clickhouse.timeout_seconds",
            f"above 0, at most {LONGEST_WAIT_SECONDS:g}",
        )
        is_encrypted = self.url.startswith("https:")
        for name in _CERTIFICATES:
            require_file(getattr(self, name), f"clickhouse.{name}")
            require(
                is_encrypted or not getattr(self, name),
                "clickhouse.url",
                f"https://… for clickhouse.{name}",
            )
        require(
            bool(self.ssl_certificate_location) == bool(self.ssl_key_location),
            "clickhouse.ssl_certificate_location",
            "given together with clickhouse.ssl_key_location",
        )
        check_routes("clickhouse", self, sources, _ROUTES)
        if self.password and not is_encrypted:
            check_cleartext(
                "clickhouse.url",
                "the password",
                [_host_of(self.url)],
                is_allowed=self.allow_unencrypted_credentials,
            )

    def __repr__(self) -> str:
        return (
            f"ClickHouseConfig(url={self.url!r}, user={self.user!r}, database={self.database!r}, …)"
        )

    def __rich_repr__(self) -> list[tuple[str, Any]]:
        """Return what rich may show, in a traceback's locals too: no secret."""
        return [("url", self.url), ("user", self.user), ("database", self.database)]


def _is_url(text: str) -> bool:
    found = _parts(text)
    return found is not None and (found["port"] is None or 0 < int(found["port"]) <= 65_535)


def _host_of(url: str) -> str:
    found = _parts(url)
    return found["host"].strip("[]").lower() if found else ""
