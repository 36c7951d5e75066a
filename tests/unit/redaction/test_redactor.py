"""The redactor in the pipeline: what is secret in an event is in none of its bytes, and all else is as it was."""

import base64
import json
import logging
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from trailhouse.producer import ProducerConfig
from trailhouse.producer.testing import InMemoryAuditLogger
from trailhouse.redaction import RedactionConfig
from trailhouse.redaction import redactor as redactor_module
from trailhouse.redaction.redactor import Redactor
from trailhouse.schemas.codec import decode

PASSWORD = "hunter" + "2Zq"
BEGIN, END = "-----BEGIN RSA PRIVATE" + " KEY-----", "-----END RSA PRIVATE" + " KEY-----"
BODY = "MIIEowIBAAKCAQEA" + "u1SU1LfVLPHCozMxH2Mo4lgOEePzNm0tRgeLezV6ffAt0gun"
SIGNATURE = "a1B2c3D4e5F6g7H8i9J0k1L2m3N4o5P6q7R8s9T0u1V"
JWT = ".".join(("ey" + "JhbGciOiJIUzI1NiJ9", "ey" + "JzdWIiOiIxMjM0NTY3ODkwIn0", SIGNATURE))
CARD = "4111" + " 1111 1111 " + "1111"


@pytest.fixture
def audit() -> Iterator[InMemoryAuditLogger]:
    with InMemoryAuditLogger() as logger:
        yield logger


def redacted(audit: InMemoryAuditLogger, **data: Any) -> dict[str, Any]:
    """Return the data of the event that *data* becomes."""
    audit.clear()
    audit.log("custom.event", session_id="s-1", data=data)
    return audit.events[0].data


@pytest.mark.parametrize(
    "text",
    [
        f"export DB_PASSWORD={PASSWORD}",
        f"password: {PASSWORD}",
        f"the password is {PASSWORD}.",
        f"密码：{PASSWORD}，请勿外传",
        json.dumps({"password": PASSWORD}),
        json.dumps(json.dumps(json.dumps({"db": {"password": PASSWORD}}))),
        f"postgres://app:{PASSWORD}@db.example/app",
        f"https:\\/\\/app:{PASSWORD}@example.org\\/",
        f"mongodb+srv://app:{PASSWORD}@db.example",
        f"Server=db;User Id=sa;Password={PASSWORD};Database=x",
        f"curl -u app:{PASSWORD} https://example.org",
        f"mysql -u root -p{PASSWORD} app",
        f"Authorization: Bearer {SIGNATURE}",
        f"Authorization: Basic {base64.b64encode(f'app:{PASSWORD}'.encode()).decode()}",
        f"Cookie: theme=dark; sid={SIGNATURE}",
        f"Set-Cookie: sid={SIGNATURE}; Path=/; HttpOnly",
        f"machine example.org login app password {PASSWORD}",
        f"| password | {PASSWORD} |",
        f"<password>{PASSWORD}</password>",
        f"const apiKey = '{PASSWORD}';",
        f"api_key: str = '{PASSWORD}'",
        f"ENV API_KEY {PASSWORD}",
        f"- name: DB_PASSWORD\n  value: {PASSWORD}",
        f"docker run -e DB_PASSWORD={PASSWORD} app",
        f"CREATE USER app IDENTIFIED BY '{PASSWORD}'",
        f"--password {PASSWORD} --verbose",
        f"token%3D{PASSWORD}",
        f"https://example.org/?access_token={SIGNATURE}&x=1",
        f"https://x.blob.example/c?sv=2024&se=2027&sig={SIGNATURE}%3D",
        f"https://x.s3.example/o?X-Amz-Credential=a&X-Amz-Signature={SIGNATURE}",
        f"a token of claims: {JWT}.",
        f"card {CARD}, valid",
        f"{BEGIN}\n{BODY}\n{BODY}\n{END}\nafter",
        f"{BEGIN}\\n{BODY}\\n{BODY}\\n{END}\\nafter",
        f"cut off: {BEGIN}\n{BODY}\n{BODY}",
        f"{BODY}\n{BODY}\n{END}",
    ],
)  # fmt: skip
def test_a_secret_is_gone_from_a_text_and_counted(audit: InMemoryAuditLogger, text: str) -> None:
    """Whatever a secret stands in, the record does not hold it, and says how many of which category it held."""
    data = redacted(audit, content=text)

    record = audit.records[0].decode()
    secrets = (
        PASSWORD,
        SIGNATURE,
        BODY,
        CARD,
        base64.b64encode(f"app:{PASSWORD}".encode()).decode(),
    )
    assert not [secret for secret in secrets if secret in record]
    assert "[REDACTED:" in data["content"]
    assert sum(audit.events[0].metadata["_redactions"].values()) >= 1


@pytest.mark.parametrize(
    "name",
    [
        "password", "dbPassword", "DB_PASSWORD", "db-password", "Db.Password", "PASSWORD_1", "userPasswd", "client_secret",
        "clientSecret", "X-Api-Key", "apiKey", "APIKEY", "api key", "aws_secret_access_key", "accessToken", "refresh_token",
        "GITHUB_TOKEN", "authToken", "private_key", "connectionString", "passphrase", "encryption_key", "signing-key",
    ],
)  # fmt: skip
def test_a_key_that_names_a_secret_has_its_value_taken_out(
    audit: InMemoryAuditLogger, name: str
) -> None:
    """Text, numbers and lists go, however the key is spelled."""
    data = redacted(
        audit, **{name: "correct horse"}, deep=[{name: 1234567}], many={name: ["a-b-c-d"]}
    )

    assert data[name].startswith("[REDACTED:")
    assert data["deep"][0][name].startswith("[REDACTED:")
    assert data["many"][name][0].startswith("[REDACTED:")


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("input_tokens", 5), ("output_tokens", 12345), ("cache_read_tokens", 7), ("max_tokens", 4096), ("token_count", 17),
        ("token_usage", {"total_tokens": 100}), ("tokens", 1523), ("token_type", "Bearer"), ("token", " the"),
        ("next_page_token", "CAUQAA1234567890"), ("nextToken", "eyLikeText12345"), ("secret_name", "prod/database"),
        ("secret_arn", "arn:aws:secretsmanager:eu-west-1:1:secret:x"), ("password_policy", "at least twelve"),
        ("has_password", True), ("password", None), ("password", ""), ("password", "${DB_PASSWORD}"), ("api_key", "<your key>"),
        ("key", "value"), ("primary_key", "id"), ("public_key", "ssh-ed25519 AAAA"), ("cache_key", "user:42:profile"),
        ("passengers", [{"first_name": "Mia"}]), ("author", "Mia Li"), ("authorization", "granted"), ("cookies", "accepted"),
        ("client_secret", "azure_storage_client_secret"), ("grant", "urn:ietf:params:oauth:grant-type:jwt-bearer"),
        ("connection_string", ":memory:"), ("time_to_first_token", 0.25), ("cost_per_token", 0.000003), ("pwd", "/home/mia/project1"),
    ],
)  # fmt: skip
def test_a_key_that_names_no_secret_keeps_its_value(
    audit: InMemoryAuditLogger, name: str, value: object
) -> None:
    """Counts, pages, names, types and placeholders are no secrets."""
    assert redacted(audit, **{name: value}) == {name: value}
    assert audit.events[0].metadata == {}


@pytest.mark.parametrize(
    "text",
    [
        "token = self.next_token()", "password = os.environ['DB_PASSWORD']", "def login(user: str, password: str) -> None:",
        "api_key=settings.api_key", "const token = await getToken(user)", "secret: ${{ secrets.DEPLOY }}",
        "if password == '': raise ValueError", "password: string;", "Please enter your password: it must be long",
        "The token is invalid or expired", "commit 3f786850e387550fdab836ed7e6dc881de23001b", "1,523 tokens used",
        "passengers: 3, author: Mia", "id 019a8c5e-7d2b-7c3f-9a41-0f6f8f0c2b11", "ssh://git@example.org/x.git",
        "mailto:mia@example.org and https://example.org/@mia", "import { Token } from './token'", "4111 1111 1111 1112",
        "https://example.org/users?page=2&next_page_token=abc123DEF456", "password=password, user=user", "tokenizer.pad_token = tokenizer.eos_token", "cookie: {path: '/', secure: true}",
    ],
)  # fmt: skip
def test_code_and_prose_about_secrets_stay(audit: InMemoryAuditLogger, text: str) -> None:
    """What only speaks of secrets is left to the last character."""
    assert redacted(audit, content=text) == {"content": text}


def test_metadata_keys_and_error_text_are_looked_into_as_well(audit: InMemoryAuditLogger) -> None:
    """A secret is gone from metadata, from the keys of objects, and from what an exception says."""
    url = f"https://app:{PASSWORD}@example.org"
    audit.log(
        "custom.event",
        session_id="s-1",
        data={url: 1, "error": ValueError(f"cannot open {url}")},
        metadata={"url": url},
    )
    audit.log_run_failed({"id": "r-1"}, "s-1", RuntimeError(f"refused by {url}"))

    assert all(PASSWORD.encode() not in record for record in audit.records)
    event, failed = audit.events
    assert event.metadata["_redactions"] == {"url_credentials": 3}
    assert failed.metadata["_redactions"] == {"url_credentials": 1}


def test_keys_that_become_the_same_are_kept_apart(audit: InMemoryAuditLogger) -> None:
    """No entry is lost when two keys hold secrets of one category."""
    data = redacted(audit, **{f"{JWT}1": 1, f"{JWT}2": 2})

    assert sorted(data.values()) == [1, 2]


def test_what_has_been_redacted_stays_as_it_is(audit: InMemoryAuditLogger) -> None:
    """An event that is redacted a second time keeps its bytes."""
    redacted(
        audit, password=PASSWORD, content=f"password={PASSWORD} {JWT} {CARD}", auth={"token": JWT}
    )
    record = audit.records[0]

    again = Redactor(RedactionConfig(), limit_bytes=900_000)

    assert again.redacted(record) == record


def test_emit_stays_exact_to_the_byte(audit: InMemoryAuditLogger) -> None:
    """`emit` sends an event as it is, whatever is in it."""
    with InMemoryAuditLogger(
        ProducerConfig(enabled=True, redaction=RedactionConfig(enabled=False))
    ) as plain:
        plain.log("custom.event", session_id="s-1", data={"password": PASSWORD})
        event = plain.events[0]

    audit.emit(event)

    assert audit.records == [event.record]
    assert event.data == {"password": PASSWORD}


def test_a_failure_of_the_redactor_takes_the_content_out(
    audit: InMemoryAuditLogger, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """Nothing passes that could not be looked into; the event is kept, and the failure counted and told."""

    def fail(*_: object) -> None:
        raise MemoryError(PASSWORD)

    monkeypatch.setattr(redactor_module, "decoded", fail)
    with caplog.at_level(logging.ERROR):
        data = redacted(audit, password=PASSWORD)

    assert data == {"redaction_failed": "[REDACTED:redaction_failed]"}
    assert audit.events[0].metadata == {"_redactions": {"redaction_failed": 1}}
    assert audit.stats().redaction_failures_total == 1
    assert "MemoryError" in caplog.text
    assert PASSWORD not in caplog.text


def test_an_event_that_its_markers_make_too_large_is_shortened(tmp_path: Path) -> None:
    """An event within the limit is never refused for what stands in the place of its secrets."""
    config = ProducerConfig(enabled=True, max_event_bytes=20_000)
    with InMemoryAuditLogger(config) as audit:
        audit.log("a.keys", session_id="s-1", data={f"p{n}_password": "x1" for n in range(900)})
        text = " ".join(f"password=x{n:05}" for n in range(1_100))
        audit.log("a.text", session_id="s-1", data={"content": text})

        keys, content = audit.events
        assert all(len(record) <= 20_000 for record in audit.records)
    assert keys.metadata["_redactions"]["password"] == 900
    assert "[SHORTENED:" in json.dumps(keys.data)
    assert content.data["content"].endswith("bytes]")


@pytest.mark.parametrize(
    "data",
    [
        {"n": 10**40, "f": 1e16, "g": -0.0, "password": PASSWORD},
        {"text": "İıſK \x00 \x7f", "password": PASSWORD},
        {"raw": b"\x00password=" + b"x" * 10, "password": PASSWORD},
    ],
)  # fmt: skip
def test_what_is_not_secret_is_written_as_without_redaction(data: dict[str, Any]) -> None:
    """Beside the marker an event has the bytes that it would have had."""
    off = ProducerConfig(enabled=True, redaction=RedactionConfig(enabled=False))
    with InMemoryAuditLogger() as audit, InMemoryAuditLogger(off) as plain:
        for logger in (audit, plain):
            logger.log("custom.event", session_id="s-1", data=data)
        expected = decode(plain.records[0].replace(PASSWORD.encode(), b"[REDACTED:password]"))

        assert audit.events[0].data == expected.data


def test_hundred_levels_and_twenty_thousand_keys_are_looked_through(
    audit: InMemoryAuditLogger,
) -> None:
    """Depth and width hide nothing."""
    deep: dict[str, Any] = {"password": PASSWORD}
    for _ in range(98):
        deep = {"in": deep}
    audit.log("a.deep", session_id="s-1", data=deep)
    audit.log(
        "a.wide", session_id="s-1", data={f"k{n}": n for n in range(20_000)} | {"api_key": PASSWORD}
    )

    assert all(PASSWORD.encode() not in record for record in audit.records)


@pytest.mark.parametrize(
    "text",
    [
        f'{{"{JWT}": "some-value-12"}}', f"password=[REDACTED:token]{PASSWORD}", f"[REDACTED:api_token]: {PASSWORD}",
        f"[HMAC:password:0123456789abcdef]={PASSWORD} password={PASSWORD}", f"[REDACTED:{PASSWORD}",
    ],
)  # fmt: skip
def test_a_marker_names_nothing_and_hides_nothing(audit: InMemoryAuditLogger, text: str) -> None:
    """What stands beside a marker is judged as if the marker said nothing, the first time and the second."""
    redacted(audit, content=text, **{JWT: "some-value-12"})
    record = audit.records[0]

    assert Redactor(RedactionConfig(), limit_bytes=900_000).redacted(record) == record
    assert f"password={PASSWORD}" not in record.decode()
    assert f"[REDACTED:token]{PASSWORD}" not in record.decode()


LIKE_AN_END = {"event_id": "0" * 36, "metadata": {}, "occurred_at": "2026-11-29T12:00:00Z"}


@pytest.mark.parametrize("metadata", [{}, {"a": 1}, {"m": LIKE_AN_END}], ids=["no", "some", "like"])
@pytest.mark.parametrize(
    "before", [{}, {"a": LIKE_AN_END}, LIKE_AN_END, {"a": json.dumps(LIKE_AN_END)[1:-1]}]
)
def test_no_content_looks_like_the_end_of_it(
    audit: InMemoryAuditLogger, metadata: dict[str, Any], before: dict[str, Any]
) -> None:
    """What stands behind the content is not looked at; so nobody may have his secret taken for it."""
    secret = {"z": f"password={PASSWORD}"}
    audit.log("custom.event", session_id="s-1", data=before | secret, metadata=metadata)
    audit.log("custom.event", session_id="s-1", data=before, metadata=metadata | secret)
    for record in audit.records:
        assert PASSWORD.encode() not in record
        assert b"[REDACTED:" in record


@pytest.mark.parametrize("head", ['data":', '"data":{', "metadata", "password=x1y2z3"])
def test_what_stands_before_the_content_hides_nothing_of_it(
    audit: InMemoryAuditLogger, head: str
) -> None:
    """An actor and an agent of any name have the content looked at from its first key, and are not looked at."""
    actor = {"id": head, "type": "data"}
    audit.log(
        "custom.event", session_id="s-1", actor=actor, agent_id=head, data={"password": PASSWORD}
    )
    (event,) = audit.events
    assert event.data == {"password": "[REDACTED:password]"}
    assert event.agent_id == head


def test_content_that_stands_last_is_looked_at() -> None:
    """Another producer's record may have its keys in another order."""
    end = json.dumps(LIKE_AN_END | {"metadata": {}}, separators=(",", ":"))[:-1]
    record = (
        f'{{"type":"a"{end.replace("{", ",", 1)},"data":{{"z":"password={PASSWORD}"}}}}'.encode()
    )
    assert json.loads(record)["data"] == {"z": f"password={PASSWORD}"}
    redacted_record = Redactor(RedactionConfig(), limit_bytes=900_000).redacted(record)
    assert PASSWORD.encode() not in redacted_record


def test_events_that_differ_by_their_ids_are_the_same_to_what_looks_for_secrets(
    audit: InMemoryAuditLogger,
) -> None:
    """RE2 learns by what it has not met: of ids, which are new each time, it would learn for hundreds of events."""
    for _ in range(2):
        audit.log("custom.event", session_id="s-1", data={"content": "the same"})
    first, second = audit.records
    assert first != second
    assert redactor_module.content_of(first) == redactor_module.content_of(second)
    audit.log("custom.event", session_id="s-1", agent_id="a", data={"content": "the same"})
    assert redactor_module.content_of(audit.records[2]) == redactor_module.content_of(first)
    assert b"the same" in redactor_module.content_of(first)
