"""`cm-graphql keys`: make API keys, look at them and take them back."""

import sys
from datetime import UTC, datetime
from typing import Annotated, Literal

from cyclopts import App, Parameter

from cm_graphql.cli.base import DatabaseUrl, with_database
from cm_graphql.settings import Complaint

keys_app = App(name="keys", help="API keys, by which callers say who they are where CM_GRAPHQL_AUTH is keys or both.")


@keys_app.command
def create(
    *,
    name: str,
    scope: Annotated[list[str] | None, Parameter(negative="")] = None,
    role: Literal["standard", "admin"] | None = None,
    account: Annotated[list[str] | None, Parameter(negative="")] = None,
    expires: str | None = None,
    database_url: DatabaseUrl = None,
) -> None:
    """Make an API key and print it; it cannot be shown again.

    Parameters
    ----------
    name
        What it is for, to know it again in the list.
    scope
        What its holder may do, such as credit_memos:read; may be given several times.
    role
        The scopes of a role: standard, or admin for all.
    account
        An account, by id or number, whose documents its holder may see, instead of all; may be given several times.
    expires
        The first day (UTC), or the moment, at which it works no longer: 2027-01-31 or 2027-01-31T12:00:00Z.
    """
    from cm_graphql.operations import api_keys
    from cm_graphql.operations.viewer import ROLES

    scopes = {*(scope or ()), *(ROLES[role] if role else ())}
    until = None if expires is None else _moment(expires)
    key, text = with_database(
        database_url,
        lambda database, clock: api_keys.create(
            database, clock, name=name, scopes=scopes, accounts=account or None, expires_on=until
        ),
    )
    print(f"The key {key.id} ({key.name}), which is shown this once; keep it secret:", file=sys.stderr)
    print(text)


@keys_app.command(name="list")
def list_keys(*, database_url: DatabaseUrl = None) -> None:
    """Print the API keys, never their secrets."""
    from cm_graphql.operations import api_keys

    found = with_database(database_url, lambda database, clock: api_keys.every(database))
    for key in found:
        print(f"{key.id}  {key.name}")
        limits = "all" if key.account_ids is None else " ".join(sorted(key.account_ids))
        print(f"    scopes: {' '.join(sorted(key.scopes))}\n    accounts: {limits}")
        moments = {
            "created": key.created_date,
            "last used": key.last_used_on,
            "expires": key.expires_on,
            "revoked": key.revoked_on,
        }
        shown = (f"{what}: {moment:%Y-%m-%d %H:%M:%S} UTC" for what, moment in moments.items() if moment)
        print(f"    {', '.join(shown)}")


@keys_app.command
def revoke(key: str, /, *, database_url: DatabaseUrl = None) -> None:
    """Take an API key back for good; servers refuse it within seconds.

    Parameters
    ----------
    key
        Its id, as `keys list` shows it.
    """
    from cm_graphql.operations import api_keys

    taken = with_database(database_url, lambda database, clock: api_keys.revoke(database, clock, key))
    print(f"The key {taken.id} ({taken.name}) works no longer.")


def _moment(text: str) -> datetime:
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        raise Complaint(f"--expires is {text!r}: it has to be a date such as 2027-01-31, or a moment.") from None
    return moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment.astimezone(UTC)
