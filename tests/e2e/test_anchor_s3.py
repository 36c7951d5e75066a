"""Anchors in an S3 bucket with Object Lock: what is locked stays, what is put over it is seen, no secret is told."""

import datetime as dt
import logging
from collections.abc import Iterator

import pytest

from bad_servers import http_server
from s3_server import Bucket, made_bucket, s3_server, set_credentials
from trailhouse.anchoring.anchorer import Anchorer
from trailhouse.anchoring.places import read_anchors, writer_of
from trailhouse.anchoring.writers import s3
from trailhouse.anchoring.writers.writer import path_of
from trailhouse.operate.verify.duties.anchors import anchors
from trailhouse.operate.verify.verifying import verify
from trailhouse.schemas import AuditEvent
from trailhouse.schemas.errors import AnchorError, ConfigError
from trailhouse.store import ClickHouseConfig
from verified_log import NAME, VerifiedLog

pytestmark = pytest.mark.cluster


@pytest.fixture(scope="module")
def server() -> Iterator[str]:
    """Return the URL of an S3 server."""
    with s3_server() as url:
        yield url


@pytest.fixture
def credentials(monkeypatch: pytest.MonkeyPatch) -> tuple[str, str]:
    """Set credentials, and return them."""
    return set_credentials(monkeypatch)


@pytest.fixture
def bucket(server: str, credentials: tuple[str, str]) -> Bucket:
    """Return a bucket that locks."""
    return made_bucket(server)


def key_of(number: int) -> str:
    """Return the key of an anchor."""
    return f"agents/{path_of(number)}"


def faults(place: str) -> dict[int, str]:
    """Return what is wrong with the protection of anchors at *place*."""
    found: dict[int, str] = {}
    assert list(read_anchors(place, unprotected=found.__setitem__))
    return found


def test_an_anchor_is_locked_for_as_long_as_is_asked(bucket: Bucket) -> None:
    """In compliance mode, from the day on; who asks for more days than that is told, and who asks for fewer is not."""
    place = bucket.named("&retention_days=30")
    writer_of(place).write(1, b"one")
    held = bucket.client.head_object(Bucket=bucket.name, Key=key_of(1))
    left = held["ObjectLockRetainUntilDate"] - dt.datetime.now(dt.UTC)
    assert held["ObjectLockMode"] == "COMPLIANCE"
    assert dt.timedelta(days=29) < left < dt.timedelta(days=31)
    assert faults(place) == faults(bucket.named("&retention_days=10")) == {}
    assert faults(bucket.place) == {1: "is locked for less than 365 days"}


def test_what_is_put_over_an_anchor_changes_nothing_and_is_seen(bucket: Bucket) -> None:
    """The first version is read, and counts for what is the newest; the locked one cannot be deleted by anybody."""
    writer = writer_of(bucket.place)
    for number, content in ((1, b"one"), (2, b"two"), (10_000, b"far")):
        assert writer.write(number, content) == content
    client, at = bucket.client, {"Bucket": bucket.name}
    (version,) = client.list_object_versions(**at, Prefix=key_of(1))["Versions"]
    with pytest.raises(client.exceptions.ClientError, match="AccessDenied"):
        client.delete_object(
            **at, Key=key_of(1), VersionId=version["VersionId"], BypassGovernanceRetention=True
        )
    client.put_object(**at, Key=key_of(1), Body=b"another history")
    client.delete_object(**at, Key=key_of(2))
    client.delete_object(**at, Key=key_of(10_000))
    client.put_object(**at, Key=f"{key_of(2)}.more", Body=b"no anchor")
    other = writer_of(bucket.place)
    assert other.newest() == 10_000
    assert [other.read(number) for number in (1, 2, 10_000)] == [b"one", b"two", b"far"]
    assert other.write(2, b"again") == b"two"
    assert all("somebody else" in other.fault(number) for number in (1, 2, 10_000))


def test_an_object_without_a_lock_is_told(bucket: Bucket) -> None:
    """Somebody was there first, without a lock: what he wrote is returned, and read as what it is."""
    bucket.client.put_object(Bucket=bucket.name, Key=key_of(1), Body=b"one")
    writer = writer_of(bucket.place)
    assert writer.write(1, b"other") == b"one"
    with pytest.raises(AnchorError, match="not locked in compliance mode"):
        writer.write(1, b"one")
    assert "not locked" in faults(bucket.place)[1]


def test_versions_are_read_to_their_first_page_by_page(
    bucket: Bucket, monkeypatch: pytest.MonkeyPatch
) -> None:
    """More versions of one key than a page has: the first is found all the same."""
    monkeypatch.setattr(s3, "KEYS_A_PAGE", 7)
    writer_of(bucket.place).write(1, b"one")
    for number in range(40):
        bucket.client.put_object(Bucket=bucket.name, Key=key_of(1), Body=b"%d" % number)
    assert writer_of(bucket.place).read(1) == b"one"


@pytest.mark.parametrize(
    ("answer", "said"),
    [
        (b"HTTP/1.1 503 Slow Down\r\nContent-Length: 0\r\nConnection: close\r\n\r\n", "refuses"),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\nConnection: close\r\n\r\n<no <xml>", "refuses (500)"),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 90\r\nConnection: close\r\n\r\n<half", "refuses (500)"),
        (
            b"HTTP/1.1 403 No\r\nContent-Length: 63\r\nConnection: close\r\n\r\n"
            b"<Error><Code>no &lt;code&gt;</Code><Message>m</Message></Error>",
            "an error without a code",
        ),
        (
            b"HTTP/1.1 200 OK\r\nContent-Length: 84\r\nConnection: close\r\n\r\n"
            b"<ListVersionsResult><Version><Key>agents/0</Key></Version></ListVersionsResult>     ",
            "lists versions without what they need",
        ),
        (b"no HTTP at all\r\n\r\n", "cannot be used"),
        (b"", "cannot be used"),
    ],
)  # fmt: skip
def test_whatever_a_server_answers_is_one_retriable_error(
    answer: bytes, said: str, credentials: tuple[str, str], caplog: pytest.LogCaptureFixture
) -> None:
    """Neither key, secret nor signature is in it, nor in any log line of any level."""
    with http_server(answer) as url, caplog.at_level(logging.DEBUG):
        writer = writer_of(f"s3:bucket/agents?region=eu-central-1&endpoint={url}")
        with pytest.raises(AnchorError) as caught:
            writer.write(1, b"one")
    assert said in str(caught.value)
    for secret in (*credentials, "Signature", "AWS4"):
        assert secret not in str(caught.value)
        assert secret not in caplog.text


def test_a_bucket_that_is_not_there_or_does_not_lock_is_told(
    server: str, credentials: tuple[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """By the code of the answer, and by what to do; so is a machine without credentials."""
    plain = made_bucket(server, is_locking=False)
    with pytest.raises(AnchorError, match=r"InvalidRequest.*made with Object Lock"):
        writer_of(plain.place).write(1, b"one")
    with pytest.raises(AnchorError, match="NoSuchBucket"):
        writer_of(plain._replace(name="none").place).write(1, b"one")
    with pytest.raises(AnchorError, match="cannot be used"):
        writer_of("s3:bucket?region=eu-central-1&endpoint=http://127.0.0.1:1").newest()
    monkeypatch.delenv("AWS_ACCESS_KEY_ID")
    with pytest.raises(AnchorError, match="NoCredentialsError"):
        writer_of(plain.place).newest()


@pytest.mark.parametrize(
    "place",
    [
        "s3:b", "s3:Bucket", "s3:bucket?other=1", "s3:bucket?retention_days=0", "s3:bucket/a b",
        "s3:bucket?retention_days=36501", "s3:bucket?retention_days=-1", "s3:bucket?retention_days=%D9%A3",
        "s3:bucket?endpoint=ftp://host", "s3:bucket?endpoint=https://name:password@host", "s3:/prefix",
        "s3:bucket?endpoint=https://host/?key=1", "s3:bucket?endpoint=https://host:x", "s3:bucket?endpoint=https://",
    ],
)  # fmt: skip
def test_a_malformed_bucket_is_refused(place: str) -> None:
    """A name that is none, an unknown option, a password in it: told before anything is asked, and not repeated."""
    with pytest.raises(ConfigError, match=r"s3:bucket/prefix") as caught:
        writer_of(place)
    assert "password@" not in str(caught.value)


@pytest.mark.long
def test_verify_reads_a_bucket_back_with_its_locks(
    database: ClickHouseConfig, bucket: Bucket
) -> None:
    """Anchors go there; a server that is away stops none; what somebody puts over them is found, and does not count."""
    log = VerifiedLog(database)
    log.append([AuditEvent(type="message_sent", session_id="s").record for _ in range(3)])
    with log.clickhouse:
        away = "s3:bucket?region=eu-central-1&endpoint=http://127.0.0.1:1"
        anchorer = Anchorer(
            log.clickhouse,
            log_name=NAME,
            signer=log.key,
            writers=[writer_of(bucket.place), writer_of(away)],
        )
        for number in (1, 2):
            run = anchorer.run()
            assert run.anchor.anchor.number == number
            assert set(run.failures) == {("s3", away)}

        def found() -> set[tuple[str, str, str]]:
            (report,) = verify(
                log.clickhouse, proof=log.proof, anchors=bucket.place, duties=(anchors.DUTY,)
            ).duties
            assert report.reasons == ()
            return {(each.kind, each.place.name, each.place.table) for each in report.findings}

        assert found() == set()
        bucket.client.put_object(Bucket=bucket.name, Key=key_of(1), Body=b"another history")
        bucket.client.delete_object(Bucket=bucket.name, Key=key_of(2))
        assert found() == {("anchor_unprotected", "anchor 1, 2", bucket.place)}
