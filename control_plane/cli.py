"""``haotokai``, or ``python -m control_plane.cli``: the operator's commands, through the admin REST API.

CONTROL_PLANE_URL and ADMIN_TOKEN say where and who. Every command prints the answer as JSON, but for ``providers``,
which prints a table; a refusal is printed to stderr and ends with status 1. ``verify-receipts`` needs neither of them,
and no network.
"""

import json
from typing import Annotated, Any
from urllib.parse import quote

import httpx2
import typer

from control_plane import receipt_chain
from control_plane.receipt_chain import ChainBroken, Link
from control_plane.receipt_key import ReceiptKeyRefused, ReceiptPublicKey
from gateway.money import format_usd

TIMEOUT_S = 15.0
PROVIDERS_HEAD = ("PROVIDER", "MODEL", "HEALTH", "SINCE", "FIRST EVENT MS", "TOKENS/S", "LAST 10 MINUTES")

Url = Annotated[str, typer.Option("--url", envvar="CONTROL_PLANE_URL", help="The control plane's origin.")]
AdminToken = Annotated[str | None, typer.Option("--token", envvar="ADMIN_TOKEN", help="The operator's token.")]
AccountId = Annotated[str, typer.Argument(help="Such as acct_k5n3xq2zr7w4ybt6cdmf.")]
KeyId = Annotated[str, typer.Argument(help="Such as key_k5n3xq2zr7w4ybt6cdmf.")]
ReceiptsFile = Annotated[typer.FileBinaryRead, typer.Argument(help="From /account/v1/receipts.jsonl; - for stdin.")]
PublicKey = Annotated[str | None, typer.Option(help="In base64, as at /receipts/public-key.")]

app = typer.Typer(no_args_is_help=True, pretty_exceptions_enable=False, help="Operate a haotokai control plane.")
accounts = typer.Typer(no_args_is_help=True, help="Open, list, suspend and resume accounts.")
keys = typer.Typer(no_args_is_help=True, help="Make, list, rotate and revoke keys.")
credits_ = typer.Typer(no_args_is_help=True, help="Give accounts money.")
projection = typer.Typer(no_args_is_help=True, help="What the edge knows.")
app.add_typer(accounts, name="accounts")
app.add_typer(keys, name="keys")
app.add_typer(credits_, name="credits")
app.add_typer(projection, name="projection")


class Admin:
    """The admin REST API."""

    def __init__(self, client: httpx2.Client) -> None:
        self._client = client

    def call(self, method: str, path: str, body: dict[str, Any] | None = None) -> None:
        """Print what it answers."""
        _echo_json(self.ask(method, path, body))

    def ask(self, method: str, path: str, body: dict[str, Any] | None = None) -> Any:
        """What it answers; a refusal ends the program."""
        if "authorization" not in self._client.headers:
            raise typer.BadParameter("it is not set", param_hint="ADMIN_TOKEN")
        given = None if body is None else {name: value for name, value in body.items() if value is not None}
        try:
            response = self._client.request(method, f"/admin/v1/{path}", json=given)
        except httpx2.HTTPError as error:
            typer.echo(f"the control plane did not answer: {type(error).__name__}", err=True)
            raise typer.Exit(1) from error
        if response.is_error:
            typer.echo(response.text, err=True)
            raise typer.Exit(1)
        return response.json()


@app.callback()
def connect(context: typer.Context, token: AdminToken = None, url: Url = "http://127.0.0.1:8788") -> None:
    """Operate a haotokai control plane."""
    headers = {} if token is None else {"authorization": f"Bearer {token}"}
    client = httpx2.Client(base_url=url, headers=headers, timeout=TIMEOUT_S)
    context.obj = Admin(context.with_resource(client))


@accounts.command("create")
def create_account(context: typer.Context, email: str, name: str | None = None) -> None:
    """Open an account."""
    context.obj.call("POST", "accounts", {"email": email, "name": name})


@accounts.command("list")
def list_accounts(context: typer.Context, cursor: str | None = None) -> None:
    """List accounts, newest first."""
    context.obj.call("GET", _page("accounts", cursor))


@accounts.command("show")
def show_account(context: typer.Context, account_id: AccountId) -> None:
    """Show an account with its balance."""
    context.obj.call("GET", _path("accounts", account_id))


@accounts.command("suspend")
def suspend_account(context: typer.Context, account_id: AccountId) -> None:
    """Let the edge refuse all keys of an account."""
    context.obj.call("PATCH", _path("accounts", account_id), {"state": "suspended"})


@accounts.command("resume")
def resume_account(context: typer.Context, account_id: AccountId) -> None:
    """Let a suspended account's keys work again."""
    context.obj.call("PATCH", _path("accounts", account_id), {"state": "active"})


@keys.command("create")
def create_key(  # noqa: PLR0917 # typer makes an option of each
    context: typer.Context,
    account_id: AccountId,
    name: str,
    model: Annotated[list[str] | None, typer.Option(help="May be repeated; without it, every model.")] = None,
    requests_per_minute: int | None = None,
    tokens_per_minute: int | None = None,
    concurrent_requests: int | None = None,
    spend_cap_usd: str | None = None,
    spend_cap_period: str | None = None,
    expires_at: str | None = None,
) -> None:
    """Make a key; its secret is shown now and never again."""
    body = {
        "name": name,
        "models": model or None,
        "requests_per_minute": requests_per_minute,
        "tokens_per_minute": tokens_per_minute,
        "concurrent_requests": concurrent_requests,
        "spend_cap_usd": spend_cap_usd,
        "spend_cap_period": spend_cap_period,
        "expires_at": expires_at,
    }
    context.obj.call("POST", _path("accounts", account_id, "keys"), body)


@keys.command("list")
def list_keys(context: typer.Context, account_id: AccountId, cursor: str | None = None) -> None:
    """List an account's keys, newest first."""
    context.obj.call("GET", _page(_path("accounts", account_id, "keys"), cursor))


@keys.command("rotate")
def rotate_key(context: typer.Context, key_id: KeyId) -> None:
    """Give a key a new secret."""
    context.obj.call("POST", _path("keys", key_id, "rotate"))


@keys.command("revoke")
def revoke_key(context: typer.Context, key_id: KeyId) -> None:
    """Refuse a key from now on."""
    context.obj.call("DELETE", _path("keys", key_id))


@credits_.command("add")
def add_credit(context: typer.Context, account_id: AccountId, amount_usd: str, reference: str) -> None:
    """Give an account money, once per reference."""
    body = {"amount_usd": amount_usd, "reference": reference}
    context.obj.call("POST", _path("accounts", account_id, "credits"), body)


@projection.command("drift")
def show_drift(context: typer.Context) -> None:
    """Show what differs at the edge."""
    context.obj.call("GET", "projection/drift")


@projection.command("resync")
def resync(context: typer.Context, remove_extra: bool = False) -> None:
    """Say everything to the edge again."""
    context.obj.call("POST", f"projection/resync?remove_extra={str(remove_extra).lower()}")


@app.command("providers")
def show_providers(context: typer.Context) -> None:
    """Show how each provider's models do."""
    items = context.obj.ask("GET", "providers")["items"]
    rows = [PROVIDERS_HEAD, *(_provider_row(item) for item in items)]
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    for row in rows:
        typer.echo("  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip())


@app.command("verify-receipts")
def verify_receipts(file: ReceiptsFile, public_key: PublicKey = None) -> None:
    """Check an account's chain of receipts, without asking anyone. Names the first line that is wrong."""
    try:
        expected = None if public_key is None else ReceiptPublicKey(public_key)
        last = receipt_chain.verify(file, public_key=expected)
    except ReceiptKeyRefused as error:
        raise typer.BadParameter(str(error), param_hint="--public-key") from error
    except ChainBroken as error:
        typer.echo(str(error), err=True)
        raise typer.Exit(1) from error
    if expected is None:
        typer.echo("The key is the one that the file names: compare it with GET /receipts/public-key.", err=True)
    _echo_json(_summary(last))


def _provider_row(item: dict[str, Any]) -> tuple[str, ...]:
    known = {name: "-" if value is None else str(value) for name, value in item.items()}
    outcomes = " ".join(f"{outcome}={count}" for outcome, count in item["outcomes"].items())
    columns = ("provider", "model", "health", "since", "first_event_ms", "tokens_per_second")
    return (*(known[name] for name in columns), outcomes)


def _summary(last: Link) -> dict[str, Any]:
    standing = last.receipt.standing
    return {
        "account_id": last.receipt.record.account_id,
        "receipts": last.receipt.number,
        "last_hash": last.hash,
        "spent_usd": format_usd(standing.spent_nano_usd),
        "balance_usd": format_usd(standing.balance_nano_usd),
        "public_key": last.public_key.text,
        "key_id": last.public_key.key_id,
    }


def _echo_json(value: object) -> None:
    typer.echo(json.dumps(value, indent=2, ensure_ascii=False))


def _path(*parts: str) -> str:
    return "/".join(quote(part, safe="") for part in parts)


def _page(path: str, cursor: str | None) -> str:
    return path if cursor is None else f"{path}?cursor={quote(cursor, safe='')}"


if __name__ == "__main__":
    app()
