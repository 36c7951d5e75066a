"""Tokens: shown once, kept as hashes, refused once they end; their file is ours alone."""

import datetime as dt
import json
from pathlib import Path

import pytest

from trailhouse.access import ConfigError, QueryError, TokenStore

NOW = dt.datetime(2026, 10, 31, 12, tzinfo=dt.UTC)


class Clock:
    """A clock that is turned by hand."""

    def __init__(self) -> None:
        self.now = NOW

    def __call__(self) -> dt.datetime:
        return self.now


@pytest.fixture
def clock() -> Clock:
    """Return a clock."""
    return Clock()


@pytest.fixture
def store(tmp_path: Path, clock: Clock) -> TokenStore:
    """Return a store whose file is not there yet."""
    return TokenStore(tmp_path / "of" / "ours" / "tokens.json", now=clock)


def test_a_token_stands_for_its_name_tenant_and_scopes(store: TokenStore) -> None:
    """What was said when it was made is what its bearer is."""
    token, secret = store.create("grafana", tenant_id="acme", scopes=("export", "read"))
    principal = store.principal(secret)

    assert principal is not None
    assert (principal.name, principal.kind, principal.tenant_id) == ("grafana", "token", "acme")
    assert principal.scopes == {"read", "export"}
    assert principal.token_id == token.id


def test_the_file_holds_no_secret_and_is_ours_alone(store: TokenStore) -> None:
    """Only the hash is kept, in a file that nobody else reads or writes."""
    _, secret = store.create("grafana", tenant_id=None)

    content = store.path.read_text()
    assert secret.split("_", 2)[2] not in content
    assert "sha256" in content
    assert store.path.stat().st_mode & 0o777 == 0o600
    assert store.path.parent.stat().st_mode & 0o777 == 0o700


def test_what_is_no_token_opens_nothing(store: TokenStore) -> None:
    """An unknown id, a wrong secret, another's secret, and any other text are nobody."""
    _, first = store.create("first", tenant_id=None)
    _, second = store.create("second", tenant_id=None)
    mixed = f"{first[:16]}_{second[17:]}"
    wrong = [
        "", "thr_", "Bearer", first[:-1], f"{first}x", f" {first}", first.upper(), mixed,
        "thr_000000000000_" + "A" * 43, "thr_" + "\x00" * 12 + "_" + "A" * 43, "\udcff" * 60, first + "\n",
    ]  # fmt: skip

    assert [store.principal(each) for each in wrong] == [None] * len(wrong)
    assert store.principal(first) is not None


def test_a_token_ends_at_its_moment(store: TokenStore, clock: Clock) -> None:
    """It is good until the moment it expires, and not from then on."""
    _, secret = store.create("brief", tenant_id=None, lifetime=dt.timedelta(hours=1))
    clock.now = NOW + dt.timedelta(hours=1) - dt.timedelta(microseconds=1)
    assert store.principal(secret) is not None
    clock.now = NOW + dt.timedelta(hours=1)
    assert store.principal(secret) is None


def test_another_process_is_heard_at_once(store: TokenStore, clock: Clock) -> None:
    """A token that another store of the file makes or revokes is good, or refused, with the next question."""
    other = TokenStore(store.path, now=clock)
    assert store.is_empty()
    token, secret = other.create("late", tenant_id=None)
    assert store.principal(secret) is not None
    assert [each.id for each in other.revoke("late")] == [token.id]
    assert store.principal(secret) is None
    assert other.revoke(token.id) == []


def test_a_store_that_has_had_tokens_stays_closed(store: TokenStore) -> None:
    """Neither revoking the last token nor removing the file makes it as if none was ever asked for."""
    store.create("only", tenant_id=None)
    store.revoke("only")
    assert not store.is_empty()
    store.path.unlink()
    assert not store.is_empty()


def test_a_name_is_free_again_once_its_token_is_not_good(store: TokenStore, clock: Clock) -> None:
    """Two good tokens never share a name: the audit would not tell them apart."""
    store.create("one", tenant_id=None, lifetime=dt.timedelta(days=1))
    with pytest.raises(QueryError, match="there is a token 'one'"):
        store.create("one", tenant_id=None)
    clock.now = NOW + dt.timedelta(days=2)
    store.create("one", tenant_id=None)
    assert [each.name for each in store.tokens()] == ["one", "one"]


@pytest.mark.parametrize(
    ("fields", "field"),
    [
        ({"name": ""}, "name"),
        ({"name": "a b"}, "name"),
        ({"name": "\x1b[31m"}, "name"),
        ({"name": "x" * 101}, "name"),
        ({"tenant_id": ""}, "tenant"),
        ({"tenant_id": "x" * 257}, "tenant"),
        ({"scopes": ()}, "scope"),
        ({"scopes": ("read", "write")}, "scope"),
        ({"lifetime": dt.timedelta()}, "expires"),
        ({"lifetime": dt.timedelta(days=4_000_000)}, "expires"),
    ],
)
def test_what_breaks_a_rule_is_named(
    store: TokenStore, fields: dict[str, object], field: str
) -> None:
    """Nothing is made of a bad name, tenant, scope or lifetime."""
    given: dict[str, object] = {"name": "good", "tenant_id": None, **fields}
    with pytest.raises(QueryError, match=f"^{field}: "):
        store.create(**given)  # type: ignore[arg-type]  # wrong on purpose
    assert store.is_empty()


@pytest.mark.parametrize("content", ["", "{", "{}", '[{"id": 1}]', "[1]", "\x00", "[[[["])
def test_a_damaged_file_opens_nothing(store: TokenStore, content: str) -> None:
    """What cannot be read is an error that shows none of it, and never an open door."""
    _, secret = store.create("one", tenant_id=None)
    store.path.write_text(content)
    with pytest.raises(ConfigError, match="not a list of tokens"):
        store.principal(secret)


def test_a_file_that_others_can_write_is_not_trusted(store: TokenStore) -> None:
    """Whoever writes to it could make himself a token."""
    _, secret = store.create("one", tenant_id=None)
    store.path.chmod(0o660)
    with pytest.raises(ConfigError, match="others can write"):
        store.principal(secret)


def test_a_folder_is_no_file_of_tokens(tmp_path: Path) -> None:
    """Something else of that name is named as what it is."""
    with pytest.raises(ConfigError, match="cannot be used"):
        TokenStore(tmp_path).tokens()


def test_a_write_that_fails_leaves_what_was_there(store: TokenStore) -> None:
    """Where the new file cannot be written, the old one stands untouched."""
    store.create("one", tenant_id=None)
    before = store.path.read_bytes()
    store.path.with_name(f".{store.path.name}.new").mkdir()
    with pytest.raises(ConfigError):
        store.create("two", tenant_id=None)
    assert store.path.read_bytes() == before
    assert [each["name"] for each in json.loads(before)] == ["one"]
