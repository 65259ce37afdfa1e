"""`luthier`: a command for each stage, and the words that are no stage; nothing heavy loads before it is needed."""

import os
import sys
from importlib import import_module

import click

from luthier import __version__
from luthier.errors import GateError, LuthierError, Stopped
from luthier.model.machine import keep_few_kernels, quiet_libraries
from luthier.recipe.stages import STAGES

WORDS: dict[str, tuple[str, str]] = {
    "run": ("luthier.cli.recipe:run_command", "Run a recipe: check everything, make what is missing."),
    "plan": ("luthier.cli.plan:plan_command", "Say what a recipe or a tune will take, and make nothing."),
    "serve": ("luthier.cli.serve:serve_command", "Serve the released model over the OpenAI API."),
    "keys": ("luthier.cli.keys:keys_command", "Make, list and revoke the keys of the server."),
    "chat": ("luthier.cli.serve:chat_command", "Talk to a model in the terminal."),
    "list": ("luthier.cli.store:list_command", "List what the project holds."),
    "show": ("luthier.cli.store:show_command", "Show what an artifact is and what it was made from."),
    "remove": ("luthier.cli.store:remove_command", "Remove artifacts that nothing needs."),
    "setup": ("luthier.cli.store:setup_command", "Install a tool into an environment of its own."),
}
"""Word -> where its command is, and its line of help."""

EXIT_STATUS: dict[type[LuthierError], int] = {GateError: 3, Stopped: 130}
"""What the shell sees; every other error is 1, a wrong command line 2."""


class Words(click.Group):
    """The commands, loaded one at a time."""

    def list_commands(self, context: click.Context) -> list[str]:
        """Give the words: the stages in the order of a recipe, then the others."""
        return [*STAGES, *WORDS]

    def get_command(self, context: click.Context, name: str) -> click.Command | None:
        """Load one command."""
        if name in STAGES:
            from luthier.cli.stage import stage_command

            return stage_command(name)
        return _load(WORDS[name][0]) if name in WORDS else None

    def format_commands(self, context: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the help without loading any command."""
        with formatter.section("Stages"):
            formatter.write_dl([(name, stage.about) for name, stage in STAGES.items()])
        with formatter.section("Words"):
            formatter.write_dl([(name, about) for name, (_, about) in WORDS.items()])


@click.command(cls=Words, context_settings={"help_option_names": ["-h", "--help"]})
@click.option("--project", default=".luthier", metavar="FOLDER", help="The project folder (default: .luthier).")
@click.version_option(__version__, message="luthier %(version)s")
@click.pass_context
def luthier(context: click.Context, project: str) -> None:
    """From an open language model and your own data to a tuned, proven, released and served model."""
    context.obj = project


def main(arguments: list[str] | None = None) -> None:
    """Run the command line; errors become three lines on stderr and an exit status."""
    # GNU OpenMP's threads spin long before they sleep and starve their neighbours on a busy machine; at 1,000 turns a
    # quiet one loses 3 % of training, a busy one answers up to twice as fast (docs/experiments.md)
    os.environ.setdefault("GOMP_SPINCOUNT", "1000")
    keep_few_kernels()
    quiet_libraries()
    try:
        luthier.main(arguments, prog_name="luthier", standalone_mode=False)
    except LuthierError as error:
        _fail(f"{error}", EXIT_STATUS.get(type(error), 1))
    except click.ClickException as error:
        error.show()
        sys.exit(error.exit_code)
    except (click.Abort, KeyboardInterrupt):
        _fail("stopped", 130)
    except BrokenPipeError:
        sys.stderr.close()  # the reader of our output went away: nothing to say, and nobody to say it to
        sys.exit(141)


def _fail(text: str, status: int) -> None:
    click.echo(click.style("error: ", fg="red", bold=True) + text, err=True)
    sys.exit(status)


def _load(path: str) -> click.Command:
    module, _, name = path.partition(":")
    command: click.Command = getattr(import_module(module), name)
    return command
