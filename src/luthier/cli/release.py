"""`luthier release` without a model to judge: promote, go back, read the log, see that nobody altered it."""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import click

from luthier.artifact.released import CHANNELS, current, history
from luthier.artifact.seal import verify_release
from luthier.artifact.store import Store
from luthier.cli.stdout import stdout, table
from luthier.cli.telling import telling
from luthier.errors import SpecError, StoreError

RELEASE_OPTIONS = (
    click.Option(["--rollback"], is_flag=True, help="Go back to the release before this one."),
    click.Option(["--promote"], metavar="ID", help="Put this release to use."),
    click.Option(
        ["--channel"], type=click.Choice(CHANNELS), help="Where --promote and --rollback do so (default: stable)."
    ),
    click.Option(["--why"], metavar="TEXT", help="The reason, for the log."),
    click.Option(
        ["--from", "traffic"],
        metavar="ID|FILE",
        help="Let a trial's traffic decide: the canary becomes the stable release, or its trial ends.",
    ),
    click.Option(["--log"], is_flag=True, help="Show every decision: when, who, what, why."),
    click.Option(
        ["--verify"],
        is_flag=False,
        flag_value="",
        metavar="[HASH]",
        help="Check the log and every file in service; with a hash noted earlier, that the log still holds it.",
    ),
)


def decide(store: Store, given: Mapping[str, Any], has_settings: bool) -> bool:
    """Do what an option asks for, if one does; then nothing is made."""
    asked = [name for name in ACTIONS if given[OPTION.get(name, name)] not in (None, False)]
    details = [name for name in ("channel", "why") if given[name] is not None]
    if len(asked) > 1 or (asked and has_settings):
        names = ", ".join(f"--{name}" for name in ACTIONS)
        raise SpecError(f"{names} and settings exclude each other", where="command line", mend="give one of them")
    if details and not set(asked) & {"promote", "rollback"}:
        mend = "write channel=canary for a new release" if details == ["channel"] else "leave it out"
        raise SpecError(f"--{details[0]} goes with --promote or --rollback", where="command line", mend=mend)
    for name in asked:
        ACTIONS[name](store, given)
    return bool(asked)


def _promote(store: Store, given: Mapping[str, Any]) -> None:
    from luthier.release.log import BY_HAND, promote

    with telling(store, "release") as tell:
        name = promote(store, given["promote"], tell, given["why"] or BY_HAND, channel=given["channel"] or "stable")
    click.echo(name)


def _rollback(store: Store, given: Mapping[str, Any]) -> None:
    from luthier.release.log import BY_HAND, rollback

    with telling(store, "release") as tell:
        name = rollback(store, tell, given["why"] or BY_HAND, channel=given["channel"] or "stable")
    if name:
        click.echo(name)


def _settle(store: Store, given: Mapping[str, Any]) -> None:
    from luthier.artifact.traffic import seal_traffic
    from luthier.recipe.openers import open_artifact
    from luthier.release.trial import settle

    path = Path(given["traffic"])
    with telling(store, "release") as tell:
        found = seal_traffic(store, path, tell) if path.is_file() else store.find(given["traffic"], "traffic")
        name = settle(store, found, tell, lambda name: open_artifact(store, store.find(name), tell=tell))
    click.echo(name)


def _log(store: Store, given: Mapping[str, Any]) -> None:
    rows = table("when (UTC)", "who", "what", "channel", "release", "model", "why")
    for line in history(store):
        when = line.when[:19].replace("T", " ")
        rows.add_row(when, line.who, line.what, line.channel, line.release or "none", line.tuned, line.why)
    stdout().print(rows)


def _verify(store: Store, given: Mapping[str, Any]) -> None:
    decisions = history(store)
    hashes = [line.hash for line in decisions]
    noted = given["verify"]
    if noted and not any(found.startswith(noted) for found in hashes):
        raise StoreError(
            f"no line of the log has the hash {noted!r}: it was written anew since that was noted",
            where=f"{store.root}/released.jsonl",
            mend="compare it with a copy of that time",
        )
    for channel in CHANNELS:
        name = current(store, channel)
        if name:
            verify_release(store, store.find(name, "release"))
            click.echo(f"{channel}: {name} is what was released", err=True)
    click.echo(f"{len(decisions)} decisions, none altered; note the hash of the last elsewhere:", err=True)
    click.echo(hashes[-1] if hashes else "none")


ACTIONS: dict[str, Callable[[Store, Mapping[str, Any]], None]] = {
    "rollback": _rollback,
    "promote": _promote,
    "from": _settle,
    "log": _log,
    "verify": _verify,
}
OPTION = {"from": "traffic"}
"""Where an action's option has another name in Python."""
