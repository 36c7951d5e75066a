"""The settings of the HTTP API: where it listens, and how much one token may ask."""

import ipaddress

import msgspec

from trailhouse.schemas.errors import ConfigError
from trailhouse.schemas.setting_names import check_names
from trailhouse.schemas.settings import require, require_file, setting, settle


class ApiConfig(msgspec.Struct, frozen=True, kw_only=True):
    """Settings of `trailhouse serve`. Making one raises `ConfigError` on a bad setting."""

    host: str = setting("api", "host", "127.0.0.1", "Address that the HTTP API listens at.")
    port: int = setting("api", "port", 8420, "Port of the HTTP API; 0 for a free one.", kind=int)
    ssl_certificate_location: str = setting(
        "api", "ssl_certificate_location", "", "File of its certificate (PEM, with its chain)."
    )
    ssl_key_location: str = setting(
        "api", "ssl_key_location", "", "File of that certificate's private key (PEM)."
    )
    requests_per_minute: int = setting(
        "api", "requests_per_minute", 600, "Requests of one token in a minute.", kind=int
    )
    concurrent_requests: int = setting(
        "api", "concurrent_requests", 8, "Requests of one token at a time.", kind=int
    )
    bytes_per_minute: int = setting(
        "api",
        "bytes_per_minute",
        1_073_741_824,
        "Bytes answered to one token in a minute.",
        kind=int,
    )

    def __post_init__(self) -> None:
        settle("api", self)
        check_names("api")
        require(bool(self.host), "api.host", "an address or a name")
        require(0 <= self.port <= 65_535, "api.port", "from 0 to 65535")
        for name in ("ssl_certificate_location", "ssl_key_location"):
            require_file(getattr(self, name), f"api.{name}")
        require(
            bool(self.ssl_certificate_location) == bool(self.ssl_key_location),
            "api.ssl_certificate_location",
            "given together with api.ssl_key_location",
        )
        for name in ("requests_per_minute", "concurrent_requests", "bytes_per_minute"):
            require(1 <= getattr(self, name) <= 2**40, f"api.{name}", "from 1 to 2**40")

    @property
    def is_encrypted(self) -> bool:
        """Whether it speaks TLS."""
        return bool(self.ssl_certificate_location)

    @property
    def is_on_this_machine(self) -> bool:
        """Whether only this machine can reach it."""
        if self.host == "localhost":
            return True
        try:
            return ipaddress.ip_address(self.host).is_loopback
        except ValueError:
            return False


def check_reach(config: ApiConfig, *, behind_proxy: bool, has_tokens: bool) -> None:
    """Return if what is asked for is safe to open.

    Raises:
        ConfigError: Other machines would reach it without a token, or in clear text. Permanent; says the way out.
    """
    if config.is_on_this_machine:
        return
    if not has_tokens:
        raise ConfigError(
            f"api.host: {config.host} is open to other machines, and there is no token:"
            " `trailhouse token create NAME --tenant TENANT` first, or listen at 127.0.0.1"
        )
    if not config.is_encrypted and not behind_proxy:
        raise ConfigError(
            f"api.host: {config.host} is open to other machines, and tokens would travel in clear text: set"
            " TRAILHOUSE_API_SSL_CERTIFICATE_LOCATION and TRAILHOUSE_API_SSL_KEY_LOCATION, or say --behind-proxy"
            " where a proxy on the way speaks TLS"
        )
