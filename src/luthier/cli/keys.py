"""`luthier keys make | list | revoke`: who may ask this project's server."""

import re
import time
from datetime import UTC, datetime

import click

from luthier.artifact.store import Store
from luthier.cli.stdout import stdout, table
from luthier.errors import SpecError
from luthier.serve.keys import EVERY, Key, KeyFile

SECONDS = {"m": 60, "h": 3600, "d": 86400, "w": 7 * 86400}
SCOPES = ("models", "admin")


@click.group("keys")
def keys_command() -> None:
    """Make, list and revoke the keys of this project's server; a running server takes note at once."""


@keys_command.command("make")
@click.argument("name")
@click.option("--scope", type=click.Choice(SCOPES), default="models", help="admin may also use /admin.")
@click.option("--model", "models", multiple=True, metavar="NAME", help="Only this model; may be repeated.")
@click.option("--expires", metavar="TIME", help="For instance 12h, 30d, 8w (default: never).")
@click.option("--kind", default="user", metavar="WORD", help="Under which word /metrics counts it (default: user).")
@click.option("--requests-per-minute", type=click.IntRange(min=1), help="In place of the server's own bound.")
@click.option("--tokens-per-minute", type=click.IntRange(min=1), help="In place of the server's own bound.")
@click.option("--at-once", type=click.IntRange(min=1), help="Requests open at the same time.")
@click.pass_obj
def make_key(
    project: str,
    name: str,
    scope: str,
    models: tuple[str, ...],
    expires: str | None,
    kind: str,
    requests_per_minute: int | None,
    tokens_per_minute: int | None,
    at_once: int | None,
) -> None:
    """Make a key and print it: once, for only its hash is kept."""
    if not re.fullmatch(r"[a-z][a-z0-9_]{0,31}", kind):
        raise SpecError(f"--kind is {kind!r}", where="command line", mend="give a word of small letters and digits")
    key = Key(
        id="",
        name=name,
        sha256="",
        models=models or (EVERY,),
        is_admin=scope == "admin",
        kind=kind,
        expires=_end(expires) if expires else None,
        requests_per_minute=requests_per_minute,
        tokens_per_minute=tokens_per_minute,
        at_once=at_once,
    )
    click.echo(key_file(project).make(key))


@keys_command.command("list")
@click.pass_obj
def list_keys(project: str) -> None:
    """List the keys: never the keys themselves."""
    rows = table("id", "name", "may", "kind", "made (UTC)", "until (UTC)")
    for key in key_file(project).known():
        may = " ".join(key.models) + (" and administer" if key.is_admin else "")
        end = _moment(key.expires) if key.expires else "-"
        is_over = key.expires is not None and key.expires < time.time()
        rows.add_row(key.id, key.name, may, key.kind, _moment(key.created), end + (" (over)" if is_over else ""))
    stdout().print(rows)


@keys_command.command("revoke")
@click.argument("name", metavar="ID|NAME")
@click.pass_obj
def revoke_key(project: str, name: str) -> None:
    """Revoke a key: from now on it is refused."""
    revoked = key_file(project).revoke(name)
    click.echo(f"revoked {revoked.id} ({revoked.name})")


def key_file(project: str) -> KeyFile:
    """Give the file of a project's keys."""
    return KeyFile(Store(project).root / "keys.json")


def _end(text: str) -> float:
    found = re.fullmatch(r"(\d{1,5})([mhdw])", text)
    if found is None:
        raise SpecError(f"--expires is {text!r}", where="command line", mend="write for instance 12h, 30d or 8w")
    return time.time() + int(found[1]) * SECONDS[found[2]]


def _moment(seconds: float) -> str:
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%d %H:%M")
