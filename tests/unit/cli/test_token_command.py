"""`trailhouse token`: one line on standard output is the token, and everything else is beside it."""

import json

import pytest

from trailhouse.access.tokens import default_store
from trailhouse.cli.main import main


def test_create_prints_the_token_alone(capsys: pytest.CaptureFixture[str]) -> None:
    """Standard output is the token and nothing else, so that a script can take it."""
    assert main(["token", "create", "grafana", "--tenant", "acme"]) == 0
    shown = capsys.readouterr()
    principal = default_store().principal(shown.out.strip())

    assert shown.out.count("\n") == 1
    assert principal is not None
    assert (principal.name, principal.tenant_id) == ("grafana", "acme")
    assert principal.scopes == frozenset({"read"})
    assert shown.out.strip() not in shown.err
    assert "not shown again" in shown.err


def test_a_token_ends_after_90_days_unless_it_is_said(capsys: pytest.CaptureFixture[str]) -> None:
    """Forgetting to say how long does not make one that is good for ever."""
    assert main(["token", "create", "one", "--all-tenants"]) == 0
    assert main(["token", "create", "two", "--all-tenants", "--expires", "never"]) == 0
    one, two = default_store().tokens()

    assert one.expires_at is not None
    assert (one.expires_at - one.created_at).days == 90
    assert two.expires_at is None
    capsys.readouterr()


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        ((), "either --tenant or --all-tenants"),
        (("--tenant", "a", "--all-tenants"), "either --tenant or --all-tenants"),
        (("--all-tenants", "--scope", "write"), "scope: must be one or more of"),
        (("--all-tenants", "--expires", "soon"), "not a while"),
    ],
)
def test_what_is_wrong_is_one_line(
    arguments: tuple[str, ...], says: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """Which tenants a token opens is never guessed, and nothing is made of a mistake."""
    assert main(["token", "create", "one", *arguments]) != 0
    shown = capsys.readouterr()

    assert (shown.out, shown.err.count("\n")) == ("", 1)
    assert says in shown.err
    assert default_store().tokens() == []


def test_list_shows_all_and_no_secret(capsys: pytest.CaptureFixture[str]) -> None:
    """Revoked ones are listed too; neither a token nor its hash is."""
    for name in ("one", "two"):
        assert main(["token", "create", name, "--tenant", "acme"]) == 0
    secrets = capsys.readouterr().out.split()
    assert main(["token", "revoke", "one"]) == 0
    assert "revoked one" in capsys.readouterr().out
    assert main(["token", "list", "--format", "json"]) == 0
    text = capsys.readouterr().out
    assert main(["token", "list"]) == 0
    table = capsys.readouterr().out

    assert [(each["name"], each["is_good"]) for each in json.loads(text)] == [
        ("one", False),
        ("two", True),
    ]
    for token in default_store().tokens():
        assert token.sha256 not in text + table
    assert not any(secret.split("_", 2)[2] in text + table for secret in secrets)
    assert "revoked" in table


def test_a_token_that_nobody_made_cannot_be_revoked(capsys: pytest.CaptureFixture[str]) -> None:
    """A mistyped name is an error: whoever revokes must not believe that it is done."""
    assert main(["token", "revoke", "nobody"]) == 2
    assert "trailhouse token list" in capsys.readouterr().err
