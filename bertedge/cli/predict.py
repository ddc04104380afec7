"""`bertedge predict`."""

import contextlib
import functools
import io
import itertools
import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

import click

from bertedge.cli import options, predicted_table
from bertedge.cli.console import clean_json
from bertedge.cli.modes import Mode, mode_of
from bertedge.cli.sections import Sectioned
from bertedge.predictions import Prediction, Result, input_to_dict
from bertedge.spec import SINGLE, Aggregation, InputShape, Text

if TYPE_CHECKING:
    from bertedge.data import Columns
    from bertedge.explanation import Explanation
    from bertedge.predictor import Predictor

STANDARD = Path("-")
FORMATS = ("lines", "csv", "tsv", "excel", "jsonl", "parquet")


_SECTIONS = {
    "Input": ("source", "format", "text_column", "pair_column"),
    "Labels": ("aggregation", "top_k", "against", "rank", "explain", "candidate_labels"),
    "Model": ("device", "threads"),
    "Output": ("output", "overwrite"),
}


@click.command(cls=Sectioned, sections=_SECTIONS, short_help="Label texts with a bundle.")
@click.argument("bundle", type=click.Path(path_type=Path))
@click.argument("text", nargs=-1)
@options.path_option("--input", "source", help="File, - for stdin, folder, or 'pattern'.")
@click.option(
    "--output",
    type=click.Path(),
    help="File of JSON lines  [stdout], or DIR/.",
)
@options.overwrite_option
@click.option("--format", type=click.Choice(FORMATS), help="Of the input, if not as it is named.")
@click.option("--text-column", metavar="NAME", help="Column or key of the text.")
@click.option("--pair-column", metavar="NAME", help="Column or key of the second text.")
@click.option("--separator", help="tab, comma, semicolon … or itself.")
@click.option("--header/--no-header", default=None, help="First line names columns?")
@options.coded
@click.option(
    "--aggregation",
    type=click.Choice([each.value for each in Aggregation]),
    help="How tokens become entities  [default: first]",
)
@click.option("--top-k", type=click.IntRange(1), help="Masks, answers, --against, --rank.")
@options.path_option("--against", help="File; its texts most similar to each.")
@click.option("--rank", is_flag=True, help="Sort each query's passages by their score.")
@click.option("--explain", is_flag=True, help="What each word does to the score of the label.")
@click.option("--explain-label", metavar="NAME", help="Explain this label instead of the best.")
@click.option(
    "--candidate-labels", metavar="A,B,…", help="Labels never trained on, by an NLI model."
)
@click.option(
    "--hypothesis-template",
    metavar="TEXT",
    help='What a candidate label stands in  ["This example is {}."]',
)
@click.option("--multi-label", is_flag=True, help="A text may have several candidate labels.")
@click.option("--device", default="auto", show_default=True, help="cpu, cuda or auto.")
@click.option("--variant", help="Of the bundle, instead of the fastest for the device.")
@click.option("--threads", type=click.IntRange(1), help="Default: the cores of this process.")
@click.option(
    "--chunk",
    type=click.IntRange(1),
    default=1024,
    show_default=True,
    help="Texts read at a time; 1 answers each line at once.",
)
@click.option(
    "--token-budget",
    type=click.IntRange(1),
    help="Tokens in a batch  [default: the device's]",
)
@click.option("--keep", metavar="NAME,...", help="Columns kept in Parquet  [all]")
@click.option("--prefix", metavar="TEXT", help="Before the names of columns predicted in Parquet.")
@click.option(
    "--rows-per-shard",
    metavar="ROWS",
    type=click.IntRange(1),
    help="Rows of a Parquet file  [default: 100,000]",
)
@click.option("--engine", type=click.Choice(predicted_table.ENGINES), help="Of tables  [local]")
@click.option("--address", metavar="HOST:PORT", help="Of a Ray cluster  [this machine alone]")
@click.option("--actors", type=click.IntRange(1), help="Ray's, of --threads each [1]  [all cores]")
def command(
    bundle: Path,
    text: tuple[str, ...],
    source: Path | None,
    output: str | None,
    **flags: Any,
) -> None:
    """Label TEXT, or the texts of --input, with the model in BUNDLE.

    Results are JSON lines. Plain input has a text a line, empty ones too; tables are told by
    name. Of pairs, TEXTs are taken two by two; a TAB parts a line.

    Parquet, a folder or a 'pattern' as --input, or --output DIR/ with a slash, gives Parquet
    files in DIR; after a kill the same command goes on.

    \b
    bertedge predict bundles/home-intents "turn the hall lights off"
    bertedge predict bundles/home-intents --input rows.parquet --output scored/
    """
    if bool(text) == (source is not None):
        raise click.UsageError("give either texts or --input FILE (- for standard input)")
    if predicted_table.is_asked_for(source, output, flags):
        assert source is not None
        predicted_table.predict(bundle, source, output, _columns(flags), flags)
    else:
        _predict_lines(bundle, text, source, None if output is None else Path(output), flags)


def _predict_lines(
    bundle: Path,
    text: tuple[str, ...],
    source: Path | None,
    output: Path | None,
    flags: dict[str, Any],
) -> None:
    """Write a line of JSON for each text."""
    from bertedge.cli.progress import Terminal
    from bertedge.cli.ranking import pair_up, rank
    from bertedge.cli.texts import group, read_texts
    from bertedge.outputs import check_file
    from bertedge.predictor import Predictor
    from bertedge.progress import Silent

    overwrite = flags["overwrite"]
    mode = mode_of(flags)
    explained, ranked = mode is Mode.EXPLAIN, mode is Mode.RANK
    if output is not None and output != STANDARD:
        check_file(output, overwrite=overwrite, inputs=(bundle, source, flags["against"]))
    predictor = Predictor.open(
        bundle, device=flags["device"], threads=flags["threads"], variant=flags["variant"]
    )
    if ranked:
        predictor.check_ranks()
    shares_terminal = output in (None, STANDARD) and sys.stdout.isatty()
    progress = Silent() if text else Terminal(bars=not shares_terminal, keep=True)
    # An explanation takes as long as a text a word: each is shown when it is there.
    shape, chunk = predictor.manifest.model.input_shape, 1 if explained else flags["chunk"]
    trained = predictor.manifest.columns
    if mode is Mode.CANDIDATES:  # texts, not the pairs of texts that the model was trained on
        shape, trained = SINGLE, None
    texts = (
        iter(pair_up(text) if ranked else group(text, shape))
        if source is None
        else read_texts(
            source,
            _columns(flags),
            Terminal(),
            shape=shape,
            task=predictor.task,
            trained=trained,
        )
    )
    total = None
    live = isinstance(progress, Terminal) and progress.live
    if live and source is not None and source.is_file():  # a pipe is read once
        counted = read_texts(source, _columns(flags), Silent(), shape=shape, task=predictor.task)
        total = sum(1 for _ in counted)  # quick beside predicting them
    shown, read = itertools.tee(texts)
    found = _run(mode, predictor, read, flags)
    write = _marked if explained and output is None and sys.stdout.isatty() else _row
    # Predictions first: they must come to their end, or only the garbage collector ends them.
    rows = map(functools.partial(write, shape), found, shown)
    if ranked:  # a line a query, at the end; progress is that of the pairs
        rows = map(_line, rank(found, shown, flags["top_k"], progress.advance))
    with _sink(output, overwrite=overwrite) as sink:
        progress.start("predicting", total, "texts")
        while lines := list(itertools.islice(rows, chunk)):
            sink.writelines(lines)
            sink.flush()
            if not ranked:
                progress.advance(len(lines))
        progress.finish()


def _run(
    mode: Mode, predictor: "Predictor[Prediction]", texts: Iterator[Text], flags: dict[str, Any]
) -> Iterator[Any]:
    """Start what is asked for: a result for each text."""
    from bertedge.cli.ranking import most_similar

    match mode:
        case Mode.EXPLAIN:
            return (predictor.explain(text, label=flags["explain_label"]) for text in texts)
        case Mode.CANDIDATES:
            return predictor.zero_shot_iter(
                (str(text) for text in texts),
                flags["candidate_labels"],
                hypothesis_template=flags["hypothesis_template"],
                multi_label=flags["multi_label"],
                token_budget=flags["token_budget"],
                chunk=flags["chunk"],
            )
    found = predictor.predict_iter(
        texts,
        aggregation=flags["aggregation"],
        top_k=flags["top_k"] if mode is Mode.PREDICT else None,
        token_budget=flags["token_budget"],
        chunk=flags["chunk"],
    )
    if mode is Mode.AGAINST:
        return most_similar(predictor, found, flags["against"], flags["top_k"])
    return found


def _marked(shape: InputShape, found: "Explanation", text: Text) -> str:
    from bertedge.cli.marked import mark

    return mark(found, text)


def _columns(flags: dict[str, Any]) -> "Columns":
    from bertedge.data import Columns

    return Columns(
        text=flags["text_column"],
        pair=flags["pair_column"],
        separator=flags["separator"],
        header=flags["header"],
        format=flags["format"],
        encoding=flags["encoding"],
        sheet=flags["sheet"],
    )


def _row(shape: InputShape, result: Result, text: Text) -> str:
    return _line(result, input_to_dict(text, shape))


def _line(result: Result, text: dict[str, Any] | None = None) -> str:
    return clean_json(json.dumps((text or {}) | result.to_dict(), ensure_ascii=False)) + "\n"


@contextlib.contextmanager
def _sink(output: Path | None, *, overwrite: bool) -> Iterator[IO[str]]:
    """Yield the output file, which appears when the block ends, or standard output in UTF-8."""
    if output is not None and output != STANDARD:
        from bertedge.outputs import staged_file

        with staged_file(output, overwrite=overwrite) as file:
            yield file
        return
    stream = io.TextIOWrapper(sys.stdout.buffer, "utf-8", newline="\n")
    try:
        yield stream
    finally:
        with contextlib.suppress(OSError):  # what could not be written cannot be written now
            stream.detach()
