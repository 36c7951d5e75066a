"""Where a secret may go: only where its own source says, and not in the clear off this machine."""

from collections.abc import Mapping
from typing import Any

from trailhouse.schemas.errors import ConfigError
from trailhouse.schemas.settings import CONFIG_FILE_VARIABLE, SETTINGS, Setting, Source

_GIVEN_BY = {
    Source.CODE: "in code",
    Source.ENVIRONMENT: "by the environment",
    Source.FILE: f"by the file of {CONFIG_FILE_VARIABLE}",
}


def check_routes(
    section: str,
    config: object,
    sources: Mapping[str, Source],
    routes: Mapping[str, tuple[str, ...]],
) -> None:
    """Refuse a secret whose way is decided by a weaker source: it could be led elsewhere.

    Args:
        section: The settings' section.
        config: The settings.
        sources: Who gave each of them.
        routes: For each secret, the settings that decide where and how it is sent.

    Raises:
        ConfigError: Names both settings, who gave them, and the way out. Permanent.
    """
    for secret, keys in routes.items():
        if not getattr(config, secret):
            continue
        for key in keys:
            # Whoever can write the settings file must not be able to have the environment's password sent to himself.
            if sources[key] < sources[secret]:
                stronger, weaker = sources[secret], sources[key]
                raise ConfigError(
                    f"{section}.{secret} is given {_GIVEN_BY[stronger]}, but {section}.{key}, which decides"
                    f" where it goes, {_GIVEN_BY[weaker]}: give {_named(section, key, stronger)} too,"
                    f" or both {_GIVEN_BY[weaker]}"
                )


def check_cleartext(name: str, secret: str, hosts: list[str], *, is_allowed: bool) -> None:
    """Refuse to send a secret over a connection that is not encrypted, to other machines.

    Args:
        name: The setting that says so, such as ``kafka.security_protocol``.
        secret: What would be seen, as the message names it.
        hosts: Where the connection goes.
        is_allowed: Whether it was asked for.

    Raises:
        ConfigError: Names the way out. Permanent.
    """
    if is_allowed or all(is_loopback(host) for host in hosts):
        return
    section = name.partition(".")[0]
    declared = SETTINGS[f"TRAILHOUSE_{section.upper()}_ALLOW_UNENCRYPTED_CREDENTIALS"]
    raise ConfigError(
        f"{name}: {secret} would cross the network in the clear; encrypt the connection,"
        f" or set {declared.variable}=true"
    )


def is_loopback(host: str) -> bool:
    """Tell whether *host* is this machine for certain: a loopback address, or `localhost` where it is one.

    ``localhost`` is a name like others to a resolver, and a hosts file may send it elsewhere.
    """
    import ipaddress  # only for a log-in that nothing encrypts: import time counts in every agent
    import socket

    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        # Only this name is asked for: to resolve any other would be I/O, and could hang.
        if host != "localhost":
            return False
    try:
        found: list[Any] = socket.getaddrinfo(host, None, type=socket.SOCK_STREAM)
    except OSError:
        return False
    return bool(found) and all(
        ipaddress.ip_address(str(address[0]).partition("%")[0]).is_loopback for *_, address in found
    )


def _named(section: str, key: str, source: Source) -> str:
    declared: Setting = next(
        each for each in SETTINGS.values() if (each.section, each.key) == (section, key)
    )
    return declared.variable if source is Source.ENVIRONMENT else f"{key}= there"
