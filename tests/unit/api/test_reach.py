"""Where the API may listen: beyond this machine only with tokens, and encrypted."""

from pathlib import Path
from typing import Any

import pytest

from trailhouse.access.operations import OPERATIONS
from trailhouse.api.config import ApiConfig, check_reach
from trailhouse.api.serve import MAX_HEADER_BYTES
from trailhouse.schemas.errors import ConfigError


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost", "::1", "127.1.2.3"])
def test_this_machine_needs_nothing(host: str) -> None:
    """A loopback address starts without a token and without TLS."""
    check_reach(ApiConfig(host=host), behind_proxy=False, has_tokens=False)


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "192.0.2.1", "trailhouse.example", "127.0.0.1.example"])  # fmt: skip
def test_other_machines_need_tokens_and_tls(host: str, tmp_path: Path) -> None:
    """Without a token, or in clear text, it does not start, and one line says the way out."""
    file = tmp_path / "pem"
    file.touch()
    plain = ApiConfig(host=host)
    encrypted = ApiConfig(host=host, ssl_certificate_location=str(file), ssl_key_location=str(file))

    for config, behind_proxy in ((plain, True), (encrypted, False)):
        with pytest.raises(ConfigError, match="trailhouse token create"):
            check_reach(config, behind_proxy=behind_proxy, has_tokens=False)
        check_reach(config, behind_proxy=behind_proxy, has_tokens=True)
    with pytest.raises(ConfigError, match="--behind-proxy") as caught:
        check_reach(plain, behind_proxy=False, has_tokens=True)
    assert "\n" not in str(caught.value)


def test_a_certificate_needs_its_key(tmp_path: Path) -> None:
    """One without the other, or a file that is not there, is a mistake of the settings."""
    file = tmp_path / "pem"
    file.touch()
    with pytest.raises(ConfigError, match="together"):
        ApiConfig(ssl_certificate_location=str(file))
    with pytest.raises(ConfigError, match="can be read"):
        ApiConfig(ssl_certificate_location="/nowhere", ssl_key_location="/nowhere")


def test_what_the_document_allows_has_room_in_an_address() -> None:
    """All parameters of an operation at their longest are read, and each of any signs; beyond it a connection ends."""
    for operation in OPERATIONS:
        longest = 0
        for each in operation.parameters:
            schema: dict[str, Any] = each.schema()
            one: dict[str, Any] = schema.get("items", schema)
            characters = max(map(len, one.get("enum", [])), default=one.get("maxLength", 40))
            longest += schema.get("maxItems", 1) * (len(each.name) + 2 + characters)
            # A sign is four bytes at most, and a byte three signs of an address.
            assert characters * 12 < MAX_HEADER_BYTES - 8_192, each.name
        assert longest < MAX_HEADER_BYTES - 8_192, operation.name
