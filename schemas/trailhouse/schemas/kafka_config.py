"""The settings of Kafka: where it is, how the topic is made, and who we are to it."""

import re
from typing import Any

import msgspec
from msgspec.structs import force_setattr

from trailhouse.schemas.secret_destinations import check_cleartext, check_routes
from trailhouse.schemas.setting_names import check_names
from trailhouse.schemas.settings import require, require_file, setting, settle

PASSWORD_MECHANISMS = ("PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512")
MECHANISMS = (*PASSWORD_MECHANISMS, "OAUTHBEARER", "GSSAPI")
SECURITY_PROTOCOLS = ("plaintext", "ssl", "sasl_plaintext", "sasl_ssl")

_WAY = ("bootstrap_servers", "ssl_ca_location", "allow_unencrypted_credentials")
_ROUTES = {
    "sasl_password": _WAY,
    "sasl_oauthbearer_client_secret": (
        *_WAY,  # the token that it is exchanged for
        "sasl_oauthbearer_token_endpoint_url",
        "sasl_oauthbearer_ca_location",
    ),
}

_is_token_url = re.compile(r"https?://[^/@\s?#]+(?:/\S*)?").fullmatch
_is_address = re.compile(r"(?:\[[0-9A-Fa-f:.]+\]|[^\s:/\[\]]+)(?::[0-9]{1,5})?").fullmatch


class KafkaConfig(msgspec.Struct, frozen=True, kw_only=True):
    """Where Kafka is and how the topic is made. Making one raises `ConfigError` on a bad setting."""

    bootstrap_servers: str = setting(
        "kafka", "bootstrap_servers", "127.0.0.1:9092", "Brokers, `host:port`, comma-separated."
    )
    topic: str = setting("kafka", "topic", "trailhouse.events", "Topic of the events.")
    partitions: int = setting(
        "kafka", "partitions", 12, "Partitions of the topic when `init` makes it.", kind=int
    )
    replication: int = setting(
        "kafka",
        "replication",
        1,
        "Replicas of the topic when `init` makes it; 3 on a real cluster.",
        kind=int,
    )
    retention_hours: int = setting(
        "kafka", "retention_hours", 168, "Hours Kafka keeps an event.", kind=int
    )
    security_protocol: str = setting(
        "kafka",
        "security_protocol",
        "plaintext",
        "`plaintext`, `ssl`, `sasl_plaintext` or `sasl_ssl`, in letters of either case.",
    )
    sasl_mechanism: str = setting(
        "kafka",
        "sasl_mechanism",
        "",
        "`PLAIN`, `SCRAM-SHA-256`, `SCRAM-SHA-512`, `OAUTHBEARER` or `GSSAPI`; empty for none.",
    )
    sasl_username: str = setting("kafka", "sasl_username", "", "User of SASL.")
    sasl_password: str = setting("kafka", "sasl_password", "", "Password of SASL.", is_secret=True)
    sasl_oauthbearer_token_endpoint_url: str = setting(
        "kafka",
        "sasl_oauthbearer_token_endpoint_url",
        "",
        "Where `OAUTHBEARER` gets its token, by OAuth's client credentials: `https://host/path`.",
    )
    sasl_oauthbearer_client_id: str = setting(
        "kafka", "sasl_oauthbearer_client_id", "", "Client id for the token."
    )
    sasl_oauthbearer_client_secret: str = setting(
        "kafka",
        "sasl_oauthbearer_client_secret",
        "",
        "Client secret for the token.",
        is_secret=True,
    )
    sasl_oauthbearer_scope: str = setting(
        "kafka", "sasl_oauthbearer_scope", "", "Scope of the token; empty for none."
    )
    sasl_oauthbearer_extensions: str = setting(
        "kafka",
        "sasl_oauthbearer_extensions",
        "",
        "What the broker is told beside the token: `key=value`, comma-separated.",
    )
    sasl_oauthbearer_ca_location: str = setting(
        "kafka",
        "sasl_oauthbearer_ca_location",
        "",
        "File of the certificates trusted for the token's address; empty for the system's.",
    )
    ssl_ca_location: str = setting(
        "kafka", "ssl_ca_location", "", "File of trusted certificates; empty for the system's."
    )
    ssl_certificate_location: str = setting(
        "kafka",
        "ssl_certificate_location",
        "",
        "File of our own certificate (PEM, with its chain), where the brokers ask for one.",
    )
    ssl_key_location: str = setting(
        "kafka", "ssl_key_location", "", "File of that certificate's private key (PEM)."
    )
    ssl_key_password: str = setting(
        "kafka", "ssl_key_password", "", "Password of the private key.", is_secret=True
    )
    allow_unencrypted_credentials: bool = setting(
        "kafka",
        "allow_unencrypted_credentials",
        False,
        "`true`: log in by SASL though nothing encrypts it on its way to another machine.",
        kind=bool,
    )

    def __post_init__(self) -> None:
        sources = settle("kafka", self)
        check_names("kafka")
        # Kafka's own documents write SASL_SSL, librdkafka's sasl_ssl.
        force_setattr(self, "security_protocol", self.security_protocol.lower())
        force_setattr(self, "sasl_mechanism", self.sasl_mechanism.upper())
        self._check_topic()
        require(
            self.security_protocol in SECURITY_PROTOCOLS,
            "kafka.security_protocol",
            f"one of {', '.join(SECURITY_PROTOCOLS)}",
        )
        self._check_certificates()
        if self.security_protocol.startswith("sasl"):
            self._check_sasl()
        check_routes("kafka", self, sources, _ROUTES)

    def _check_topic(self) -> None:
        require(
            all(_is_address(part.strip()) for part in self.bootstrap_servers.split(",")),
            "kafka.bootstrap_servers",
            "one host:port or several, comma-separated",
        )
        require(
            re.fullmatch(r"[A-Za-z0-9._-]{1,249}", self.topic) is not None,
            "kafka.topic",
            "1 to 249 letters, digits, dots, dashes or underscores",
        )
        require(1 <= self.partitions <= 10_000, "kafka.partitions", "from 1 to 10000")
        require(1 <= self.replication <= 32, "kafka.replication", "from 1 to 32")
        require(self.retention_hours >= 1, "kafka.retention_hours", "at least 1")

    def _check_certificates(self) -> None:
        for name in ("ssl_certificate_location", "ssl_key_location"):
            require_file(getattr(self, name), f"kafka.{name}")
        for name in ("ssl_ca_location", "sasl_oauthbearer_ca_location"):
            require_file(getattr(self, name), f"kafka.{name}", "a file or folder that can be read")
        if self.ssl_certificate_location or self.ssl_key_location:
            for name in ("ssl_certificate_location", "ssl_key_location"):
                require(
                    bool(getattr(self, name)), f"kafka.{name}", "given with the other of the two"
                )
            require(
                self.security_protocol.endswith("ssl"),
                "kafka.security_protocol",
                "ssl or sasl_ssl for a certificate of our own",
            )

    def _check_sasl(self) -> None:
        require(bool(self.sasl_mechanism), "kafka.sasl_mechanism", "given for SASL")
        require(
            self.sasl_mechanism in MECHANISMS,
            "kafka.sasl_mechanism",
            f"one of {', '.join(MECHANISMS)}",
        )
        needed: tuple[str, ...] = ()
        if self.sasl_mechanism in PASSWORD_MECHANISMS:
            needed = ("sasl_username", "sasl_password")
        elif self.sasl_mechanism == "OAUTHBEARER":
            names = ("token_endpoint_url", "client_id", "client_secret")
            needed = tuple(f"sasl_oauthbearer_{name}" for name in names)
            self._check_token_endpoint()
        for name in needed:
            require(bool(getattr(self, name)), f"kafka.{name}", f"given for {self.sasl_mechanism}")
        if self.security_protocol == "sasl_plaintext" and self.sasl_mechanism != "GSSAPI":
            hosts = [_host_of(part.strip()) for part in self.bootstrap_servers.split(",")]
            check_cleartext(
                "kafka.security_protocol",
                f"a log-in by {self.sasl_mechanism}",
                hosts,
                is_allowed=self.allow_unencrypted_credentials,
            )

    def _check_token_endpoint(self) -> None:
        name = "kafka.sasl_oauthbearer_token_endpoint_url"
        url = self.sasl_oauthbearer_token_endpoint_url
        require(
            not url
            or (_is_token_url(url) is not None and _is_address(url.split("/")[2]) is not None),
            name,
            "like https://host/path, without user",
        )
        if url.startswith("http:"):
            check_cleartext(
                name,
                "the client secret",
                [_host_of(url.split("/")[2])],
                is_allowed=self.allow_unencrypted_credentials,
            )

    def client_options(self) -> dict[str, str | int | float | bool]:
        """Return the librdkafka options that reach this cluster; secrets included, so never log it."""
        options: dict[str, str | int | float | bool] = {
            "bootstrap.servers": self.bootstrap_servers,
            "security.protocol": self.security_protocol,
        }
        named = {
            "sasl.mechanism": self.sasl_mechanism,
            "sasl.username": self.sasl_username,
            "sasl.password": self.sasl_password,
            "ssl.ca.location": self.ssl_ca_location,
            "ssl.certificate.location": self.ssl_certificate_location,
            "ssl.key.location": self.ssl_key_location,
            "ssl.key.password": self.ssl_key_password,
        }
        if self.sasl_mechanism == "OAUTHBEARER":
            named |= {
                "sasl.oauthbearer.method": "oidc",
                "sasl.oauthbearer.token.endpoint.url": self.sasl_oauthbearer_token_endpoint_url,
                "sasl.oauthbearer.client.id": self.sasl_oauthbearer_client_id,
                "sasl.oauthbearer.client.secret": self.sasl_oauthbearer_client_secret,
                "sasl.oauthbearer.scope": self.sasl_oauthbearer_scope,
                "sasl.oauthbearer.extensions": self.sasl_oauthbearer_extensions,
                "https.ca.location": self.sasl_oauthbearer_ca_location,
            }
        return options | {name: value for name, value in named.items() if value}

    def __repr__(self) -> str:
        return f"KafkaConfig(bootstrap_servers={self.bootstrap_servers!r}, topic={self.topic!r}, …)"

    def __rich_repr__(self) -> list[tuple[str, Any]]:
        """Return what rich may show, in a traceback's locals too: no secret."""
        return [("bootstrap_servers", self.bootstrap_servers), ("topic", self.topic)]


def _host_of(address: str) -> str:
    if address.startswith("["):
        return address[1:].partition("]")[0]
    return address.partition(":")[0]
