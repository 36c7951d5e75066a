"""An S3 server on this machine (moto's), with credentials that are made for it, and buckets with Object Lock."""

import secrets
import uuid
from collections.abc import Generator
from contextlib import contextmanager
from typing import Any, NamedTuple

import boto3
import pytest
from moto.server import ThreadedMotoServer


class Bucket(NamedTuple):
    """A bucket: where it is, its name, and a client of its administrator's."""

    endpoint: str
    name: str
    client: Any

    @property
    def place(self) -> str:
        """Return it as the settings name it."""
        return self.named()

    def named(self, options: str = "", prefix: str = "/agents") -> str:
        """Return it as the settings name it, with more options."""
        return f"s3:{self.name}{prefix}?region=eu-central-1&endpoint={self.endpoint}{options}"


@contextmanager
def s3_server() -> Generator[str]:
    """Serve S3, and yield its URL."""
    server = ThreadedMotoServer("127.0.0.1", 0, verbose=False)
    server.start()
    try:
        host, port = server.get_host_and_port()
        yield f"http://{host}:{port}"
    finally:
        server.stop()


def set_credentials(monkeypatch: pytest.MonkeyPatch) -> tuple[str, str]:
    """Set the variables that boto3 reads, nothing else of this machine counts; return key id and secret."""
    key_id, secret = f"AKIA{secrets.token_hex(8).upper()}", secrets.token_urlsafe(30)
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", key_id)
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", secret)
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    for name in ("AWS_CONFIG_FILE", "AWS_SHARED_CREDENTIALS_FILE"):
        monkeypatch.setenv(name, "/dev/null")
    for name in ("AWS_PROFILE", "AWS_SESSION_TOKEN", "AWS_REGION", "AWS_DEFAULT_REGION"):
        monkeypatch.delenv(name, raising=False)
    return key_id, secret


def made_bucket(endpoint: str, *, is_locking: bool = True) -> Bucket:
    """Make a bucket."""
    client = boto3.client("s3", endpoint_url=endpoint, region_name="eu-central-1")
    name = f"anchors-{uuid.uuid4().hex[:12]}"
    client.create_bucket(
        Bucket=name,
        ObjectLockEnabledForBucket=is_locking,
        CreateBucketConfiguration={"LocationConstraint": "eu-central-1"},
    )
    return Bucket(endpoint, name, client)
