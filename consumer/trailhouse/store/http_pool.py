"""The connections to ClickHouse: encrypted as the settings say, straight to it, and to nobody else."""

import ssl
from typing import Any

from clickhouse_connect.driver.httputil import all_managers, get_pool_manager_options
from urllib3 import BaseHTTPResponse, PoolManager

from trailhouse.schemas.errors import ConfigError
from trailhouse.store.config import ClickHouseConfig


class HttpPool(PoolManager):
    """Connections that follow no redirect and use no proxy, whatever the environment names.

    clickhouse-connect would do both by itself: its first statement follows a redirect, and
    ``HTTP_PROXY`` sends the password to whomever it names, for 127.0.0.1 too.
    """

    def __init__(self, config: ClickHouseConfig) -> None:
        options = get_pool_manager_options()
        if config.url.startswith("https:"):
            options["ssl_context"] = _ssl_context(config)
        super().__init__(**options)

    def urlopen(  # type: ignore[override]  # urllib3 types its own override alike
        self, method: str, url: str, redirect: bool = True, **options: Any
    ) -> BaseHTTPResponse:
        """Send one request; an answer that points elsewhere is the answer."""
        return super().urlopen(method, url, redirect=False, **options)

    def close(self) -> None:
        """Close every connection, and let clickhouse-connect forget this pool."""
        with self.pools.lock:
            held = [self.pools[key] for key in self.pools.keys()]  # noqa: SIM118 - it cannot be iterated
            self.clear()
        for each in held:
            each.close()
        all_managers.pop(self, None)


def _ssl_context(config: ClickHouseConfig) -> ssl.SSLContext:
    """Return what trusts the servers that *config* names, and shows our own certificate if there is one.

    Raises:
        ConfigError: A file holds no certificate or key, or they do not belong together. Permanent.
    """
    try:
        context = ssl.create_default_context(cafile=config.ssl_ca_location or None)
    except (OSError, ssl.SSLError):
        raise ConfigError(
            "clickhouse.ssl_ca_location: must be a file of certificates (PEM)"
        ) from None
    if config.ssl_certificate_location:
        try:
            context.load_cert_chain(
                config.ssl_certificate_location,
                config.ssl_key_location,
                # A function, since without one OpenSSL would ask on the terminal.
                lambda: config.ssl_key_password,
            )
        except (OSError, ssl.SSLError):
            raise ConfigError(
                "clickhouse.ssl_certificate_location, ssl_key_location: must be a certificate and its"
                " private key (PEM), and ssl_key_password the key's, if it has one"
            ) from None
    return context
