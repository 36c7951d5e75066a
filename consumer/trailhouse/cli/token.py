"""`trailhouse token`: who may read through the HTTP API and MCP."""

import datetime as dt
import re
from typing import TYPE_CHECKING, Annotated

import typer

from trailhouse.cli.output.console import say, tell
from trailhouse.cli.output.formats import Format, FormatOption
from trailhouse.cli.output.written import written

if TYPE_CHECKING:
    from trailhouse.access import Token

_EPILOG = (
    "Examples:\n\ntrailhouse token create grafana --tenant acme --expires 90d\n\ntrailhouse token list\n\n"
    "trailhouse token revoke grafana"
)
_COLUMNS = ("name", "id", "tenant", "scopes", "created", "state")
_SECONDS = {"h": 3_600, "d": 86_400, "w": 604_800}
_is_while = re.compile(r"([0-9]{1,6})([hdw])").fullmatch

token_app = typer.Typer(
    no_args_is_help=True,
    help="Make and revoke the tokens that open the HTTP API and MCP.",
    epilog=_EPILOG,
)


def _lifetime(text: str) -> dt.timedelta:
    if text == "never":
        return dt.timedelta.max
    if found := _is_while(text):
        return dt.timedelta(seconds=int(found[1]) * _SECONDS[found[2]])
    raise typer.BadParameter(f"{text!r} is not a while such as 12h, 90d, 52w, nor `never`")


@token_app.command(
    epilog="Examples:\n\ntrailhouse token create grafana --tenant acme\n\n"
    "trailhouse token create auditor --all-tenants --scope read --scope export --expires 8h"
)
def create(
    name: Annotated[
        str, typer.Argument(metavar="NAME", help="Whom or what it is for.", show_default=False)
    ],
    tenant: Annotated[
        str | None, typer.Option(help="The one tenant whose events it opens.")
    ] = None,
    all_tenants: Annotated[
        bool, typer.Option("--all-tenants", help="It opens the events of all tenants, and of none.")
    ] = False,
    scope: Annotated[
        list[str] | None,
        typer.Option(help="read, export or sql; may be repeated; read if not given."),
    ] = None,
    expires: Annotated[
        dt.timedelta | None,
        typer.Option(
            parser=_lifetime, metavar="WHILE", help="12h, 90d, 52w or `never`; 90d if not given."
        ),
    ] = None,
) -> None:
    """Make a token, and print it: this once, for its hash alone is kept.

    A running server knows it at once. What it reads is audited under its name.
    """
    from trailhouse.access.tokens import default_store

    if all_tenants is (tenant is not None):
        raise typer.BadParameter("say either --tenant or --all-tenants")
    lifetime = dt.timedelta(days=90) if expires is None else expires
    token, secret = default_store().create(
        name,
        tenant_id=tenant,
        scopes=scope or ("read",),
        lifetime=None if lifetime == dt.timedelta.max else lifetime,
    )
    say(secret)
    tell(f"token {token.name} ({token.id}) {_described(token)}; it is not shown again")


@token_app.command(name="list", epilog="Example:\n\ntrailhouse token list --format json")
def list_tokens(format: FormatOption = Format.TABLE) -> None:
    """List every token that was made, revoked and expired ones too; never a secret."""
    from trailhouse.access.tokens import default_store

    found = default_store().tokens()
    if not written(format, [_shown(each) for each in found]) and found:
        from trailhouse.cli.output.console import results
        from trailhouse.cli.output.table import print_table

        print_table(results(), _COLUMNS, [_row(each) for each in found])
    else:
        tell("no tokens; `trailhouse token create NAME --tenant TENANT` makes one")


@token_app.command(epilog="Example:\n\ntrailhouse token revoke grafana")
def revoke(
    token: Annotated[
        str, typer.Argument(metavar="NAME_OR_ID", help="The token.", show_default=False)
    ],
) -> None:
    """Refuse a token from now on, at running servers too; streams that it opened end with their next answer."""
    from trailhouse.access.tokens import default_store

    revoked = default_store().revoke(token)
    for each in revoked:
        say(f"revoked {each.name} ({each.id})")
    if not revoked:
        say("was not good any more: nothing changed")


def _shown(token: "Token") -> dict[str, object]:
    return {
        "name": token.name,
        "id": token.id,
        "tenant_id": token.tenant_id,
        "scopes": token.scopes,
        "created_at": token.created_at,
        "expires_at": token.expires_at,
        "revoked_at": token.revoked_at,
        "is_good": token.is_good(dt.datetime.now(dt.UTC)),
    }


def _row(token: "Token") -> tuple[str, ...]:
    whose = "(all)" if token.tenant_id is None else token.tenant_id
    return (
        token.name,
        token.id,
        whose,
        " ".join(token.scopes),
        f"{token.created_at:%Y-%m-%d}",
        _state(token),
    )


def _state(token: "Token") -> str:
    if token.revoked_at is not None:
        return f"revoked {token.revoked_at:%Y-%m-%d}"
    if token.expires_at is None:
        return "good, never expires"
    expired = token.expires_at <= dt.datetime.now(dt.UTC)
    return f"{'expired' if expired else 'good until'} {token.expires_at:%Y-%m-%d %H:%M}Z"


def _described(token: "Token") -> str:
    whose = "all tenants" if token.tenant_id is None else f"tenant {token.tenant_id!r}"
    until = "" if token.expires_at is None else f" until {token.expires_at:%Y-%m-%d %H:%M}Z"
    return f"opens {' and '.join(token.scopes)} for {whose}{until}"
