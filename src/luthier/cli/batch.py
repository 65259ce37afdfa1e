"""`luthier chat --file questions.jsonl --out answers.jsonl`: a file of questions, answered at full batch."""

from collections.abc import Callable
from pathlib import Path

import click

from luthier.artifact.store import Store
from luthier.cli.telling import telling
from luthier.engine.ports import ChatModel, Closing, Sampling
from luthier.errors import SpecError
from luthier.event import Tell

FILE = click.Option(
    ["--file"],
    type=click.Path(path_type=Path, dir_okay=False),
    help="Answer a file of questions (JSON lines) into --out; broken off, the same command goes on.",
)
OUT = click.Option(["--out"], type=click.Path(path_type=Path, dir_okay=False), help="Where the answers of --file go.")


def check_files(file: Path | None, out: Path | None, has_question: bool) -> tuple[Path, Path]:
    """Give both paths. Raises SpecError if one is missing, or if a question is given beside them."""
    if file is None or out is None:
        raise SpecError(
            "--file and --out go together",
            where="command line",
            mend="luthier chat --file questions.jsonl --out answers.jsonl",
        )
    if has_question:
        raise SpecError("--file leaves no room for QUESTION or --compare", where="command line", mend="leave one out")
    return file, out


def answer_questions(
    store: Store,
    open_model: Callable[[Tell], ChatModel],
    file: Path,
    out: Path,
    *,
    system: str | None,
    sampling: Sampling,
) -> None:
    """Open the model, answer what is not answered yet, and say how many that were."""
    from luthier.engine.batch import answer_file

    with telling(store, "chat") as tell:
        model = open_model(tell)
        try:
            count = answer_file(model, file, out, system=system, sampling=sampling, tell=tell)
        finally:
            if isinstance(model, Closing):
                model.close()
    click.echo(f"{count} answers written to {out}", err=True)
