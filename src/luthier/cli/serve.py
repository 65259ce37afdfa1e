"""`luthier serve` and `luthier chat`: the released model, or one named, over HTTP or in the terminal."""

from pathlib import Path

import click
from rich.console import Console

from luthier.artifact.store import Store
from luthier.cli.batch import FILE, OUT, answer_questions, check_files
from luthier.cli.fields import field_lines
from luthier.cli.telling import telling
from luthier.engine.capability import CHOICES
from luthier.engine.ports import ChatModel, Closing, Sampling
from luthier.errors import KindError, SpecError
from luthier.event import Tell, hush
from luthier.recipe.openers import base_of, open_artifact, open_named
from luthier.spec import make

DTYPE = click.Option(
    ["--dtype"],
    type=click.Choice(("auto", "float32", "bfloat16")),
    default="auto",
    help="Number format; float32 is exact, auto is what is fast here.",
)
ENGINE = click.Option(
    ["--engine"],
    type=click.Choice(CHOICES),
    default="auto",
    help="What runs the model; auto takes what fits it and this machine, and tells why. One that needs another form of "
    "the model has that made first.",
)


class ServeCommand(click.Command):
    """`luthier serve`; its help ends with the spec's fields."""

    def format_epilog(self, context: click.Context, formatter: click.HelpFormatter) -> None:
        """Write each setting with its default and its meaning."""
        from luthier.serve.spec import ServeSpec

        with formatter.section("Settings (key=value)"):
            formatter.write_dl(field_lines(ServeSpec))


@click.pass_obj
def _serve(
    project: str,
    settings: tuple[str, ...],
    file: Path | None,
    names: tuple[str, ...],
    embedders: tuple[str, ...],
    dtype: str,
    engine: str,
    workers: int,
    cluster: str | None,
) -> None:
    """Serve the released model (or others) over the OpenAI API until Ctrl-C."""
    from luthier.cli.serving import Serving
    from luthier.serve.run import serve
    from luthier.serve.spec import ClusterSpec, ServeSpec

    spec = make(ServeSpec, settings, file)
    store = Store(project)
    serving = Serving(str(Path.cwd()), str(Path(project).absolute()), names, embedders, dtype, engine, workers)
    if cluster is None and spec.cluster != ClusterSpec():
        raise SpecError("settings of a cluster, and no cluster", where="key cluster", mend="add --cluster ray")
    with telling(store, "serve") as tell:
        if cluster:
            from luthier.serve.cluster import serve_on_cluster

            serving.check()
            serve_on_cluster(spec, serving.open_there, serving.keys, tell)
            return
        models, given = serving.open(tell)
        try:
            serve(spec, models, tell, given)
        finally:
            for model in models:
                if isinstance(model, Closing):
                    model.close()


@click.pass_obj
def _chat(
    project: str,
    question: str | None,
    name: str | None,
    url: str | None,
    system: str | None,
    side_by_side: bool,
    dtype: str,
    max_tokens: int,
    engine: str,
    file: Path | None,
    out: Path | None,
) -> None:
    """Talk to the released model (or another) in the terminal; with QUESTION, or text on stdin, answer it and end."""
    from luthier.cli.chat import chat, compare

    if side_by_side and url:
        raise SpecError("--compare and --url exclude each other", where="command line", mend="leave one out")
    if url and dtype != "auto":
        mend = "leave --dtype out, or give it to the server (luthier serve --dtype)"
        raise SpecError(f"--dtype {dtype} cannot reach a model behind --url", where="command line", mend=mend)
    store = Store(project)
    console = Console(stderr=True, highlight=False)
    sampling = Sampling(max_tokens=max_tokens)

    def open_model(tell: Tell = hush) -> ChatModel:
        return _remote(url, name) if url else open_named(store, name, dtype=dtype, engine=engine, tell=tell)

    def another(wanted: str) -> ChatModel:
        return _remote(url, wanted) if url else open_named(store, wanted, dtype=dtype, engine=engine)

    if file or out:
        paths = check_files(file, out, bool(question or side_by_side))
        answer_questions(store, open_model, *paths, system=system, sampling=sampling)
    elif side_by_side:
        compare(_pair(store, name, dtype), question, system=system, console=console, sampling=sampling)
    else:
        chat(
            open_model(),
            question,
            system=system,
            console=console,
            sampling=sampling,
            other=another,
            remembered=store.root / "chat_history",
        )


def _remote(url: str, name: str | None) -> ChatModel:
    from luthier.engine.remote import RemoteModel

    return RemoteModel(url, model=name)


def _pair(store: Store, name: str | None, dtype: str) -> list[ChatModel]:
    """The base and what was tuned from it."""
    tuned = open_named(store, name, dtype=dtype)
    artifact = store.find(tuned.name)
    base = base_of(store, artifact)
    if base.id == artifact.id:
        raise KindError(
            f"{artifact.id} is a base itself: there is nothing to hold it against",
            where="--model",
            mend="give an adapter or a release (luthier list)",
        )
    return [open_artifact(store, base, name="base", dtype=dtype), tuned]


MODEL_HELP = "An artifact's id, a model folder or a checkpoint (default: the release)."
serve_command = ServeCommand(
    "serve",
    callback=_serve,
    help=_serve.__doc__,
    params=[
        click.Argument(["settings"], nargs=-1, metavar="[KEY=VALUE]..."),
        click.Option(["--spec", "file"], type=click.Path(path_type=Path), help="A YAML file with the settings."),
        click.Option(["--model", "names"], multiple=True, metavar="ID|FOLDER", help=f"{MODEL_HELP} May be repeated."),
        click.Option(
            ["--embed", "embedders"],
            multiple=True,
            metavar="NAME",
            help="An embedder for /v1/embeddings, as `luthier index` takes it. May be repeated.",
        ),
        DTYPE,
        ENGINE,
        click.Option(
            ["--workers"],
            type=click.IntRange(min=0, max=64),
            default=0,
            show_default=True,
            help="Processes for each model beside the server; one that dies or hangs is replaced. 0: in the server.",
        ),
        click.Option(
            ["--cluster"],
            type=click.Choice(("ray",)),
            help="Run as many whole servers as `cluster.replicas` says, on the machines of a Ray cluster.",
        ),
    ],
)
chat_command = click.Command(
    "chat",
    callback=_chat,
    help=_chat.__doc__,
    params=[
        click.Argument(["question"], required=False),
        click.Option(["--model", "name"], metavar="ID|FOLDER", help=MODEL_HELP),
        click.Option(
            ["--url"], metavar="URL", help="Ask an OpenAI API instead, for instance http://127.0.0.1:8000/v1."
        ),
        click.Option(["--system"], metavar="TEXT", help="A system prompt."),
        click.Option(
            ["--max-tokens"],
            type=click.IntRange(min=1),
            default=512,
            show_default=True,
            help="The longest answer: a small model may not find its end.",
        ),
        click.Option(["--compare", "side_by_side"], is_flag=True, help="Show base and tuned model side by side."),
        DTYPE,
        ENGINE,
        FILE,
        OUT,
    ],
)
