"""One pretraining run, from plain text to the finished base model's directory."""

from dataclasses import dataclass
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path

import accelerate
import torch
import transformers

from bertedge import checkpoint as checkpoints
from bertedge import serialization
from bertedge.bundle import hash_file
from bertedge.checkpoint import Setting
from bertedge.checkpoint.tokenizer import save_tokenizer
from bertedge.data.lines import check_file
from bertedge.data.report import RowReport
from bertedge.errors import CheckpointError, SettingError
from bertedge.outputs import remove
from bertedge.pretrain import corpus as corpora
from bertedge.pretrain import training
from bertedge.pretrain.collator import RowMasker, hold_out, split
from bertedge.pretrain.config import PretrainConfig, read_size
from bertedge.pretrain.corpus import Corpus
from bertedge.pretrain.head import make_model, new_config
from bertedge.pretrain.record import PRETRAINING, Pretraining, TextFile
from bertedge.pretrain.rows import cut
from bertedge.pretrain.vocabulary import train_tokenizer
from bertedge.progress import SILENT, Progress
from bertedge.training.curves import CURVES, check_log_dir
from bertedge.training.place import check_output
from bertedge.training.run_directory import RunDirectory, clear, open_run_directory, publish_output
from bertedge.training.seal import fault_of, seal
from bertedge.training.third_party import quiet_libraries
from bertedge.version import __version__

MOST_HELD_OUT = 500
"""Rows; measuring takes a share of the run's time."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Pretrained:
    """The finished run."""

    output: Path
    record: Pretraining


@dataclass(frozen=True, slots=True, kw_only=True)
class Start:
    """What a run starts from, without its weights."""

    folder: Path | None
    """Of the base; None for a new model."""
    config: transformers.PretrainedConfig
    tokenizer: transformers.PreTrainedTokenizerFast


def pretrain(
    config: PretrainConfig,
    progress: Progress = SILENT,
    *,
    overwrite: bool = False,
    resume: bool = False,
) -> Pretrained | None:
    """Train as `config` says and leave the base model at `config.output`.

    It is a Hugging Face directory with the head that predicts words, and `pretraining.json`. The
    run lives in a hidden sibling of the output until it is finished; `resume` continues one that
    was interrupted. In a distributed launch the processes other than the first return None.
    Raises a BertedgeError for each mistake.

    Examples:
        >>> from pathlib import Path
        >>> from bertedge.pretrain import PretrainConfig, pretrain
        >>> files = {"text": (Path("corpus.txt"),), "output": Path("bases/example")}
        >>> sizes = {"size": "1x32x2", "vocab_size": 200, "max_length": 32, "max_steps": 2}
        >>> pretrain(PretrainConfig(**files, **sizes)).record.checks[-1].step
        2
    """
    work = RunDirectory(output=config.output, overwrite=overwrite, resume=resume)
    check_output(config.output, (*config.text, config.model), overwrite=overwrite)
    check_log_dir(config.log_dir, config.output)
    with quiet_libraries():
        launch = accelerate.PartialState(cpu=not torch.cuda.is_available())
        base = _open_base(config) if config.model else None
        for path in config.text:
            check_file(path)
        with open_run_directory(work, _settings(config), progress):
            with launch.main_process_first():
                start = base or _new(config, work.folder, progress)
                if work.first:
                    _tokenize(config, start, work.folder / "corpus", progress)
            return _run(config, start, work, progress)


def _open_base(config: PretrainConfig) -> Start:
    assert config.model is not None
    base = checkpoints.open_base(config.model)
    model_type, tokenizer = base.config.model_type, base.tokenizer
    if config.max_length > base.longest:
        raise SettingError(
            f"max_length is {config.max_length}, but {config.model} reads {base.longest} tokens "
            "at most"
        )
    if None in (tokenizer.mask_token_id, tokenizer.cls_token_id, tokenizer.sep_token_id):
        raise CheckpointError(
            f"{config.model} cannot be continued: its tokenizer lacks one of the tokens for "
            "[CLS], [SEP] and [MASK]"
        )
    if getattr(base.config, "legacy", True) is False:
        raise CheckpointError(
            f"{config.model} cannot be continued: its config.json sets legacy to false, and "
            "transformers' masked language model of that form does not run; set it to true"
        )
    if config.next_sentence and model_type != "bert":
        raise SettingError(
            f"--next-sentence needs a bert, and {config.model} is a {model_type}; leave it out"
        )
    return Start(folder=base.folder, config=base.config, tokenizer=tokenizer)


def _new(config: PretrainConfig, work: Path, progress: Progress) -> Start:
    """Train the vocabulary, or find that of the interrupted run."""
    assert config.size is not None
    folder = work / "tokenizer"
    if fault := fault_of(folder):
        clear(work, progress, f"the vocabulary of the interrupted run {fault}")
        progress.say(f"training a vocabulary of {config.vocab_size:,} word pieces")
        train_tokenizer(
            lambda: filter(None, corpora.read_text(config.text, RowReport(policy=config.bad_rows))),
            folder,
            size=config.vocab_size,
            cased=config.cased,
            max_length=config.max_length,
        )
        seal(folder)
    tokenizer = transformers.AutoTokenizer.from_pretrained(
        folder, local_files_only=True, trust_remote_code=False
    )
    built = new_config(read_size(config.size), tokenizer, config.max_length)
    return Start(folder=None, config=built, tokenizer=tokenizer)


def _tokenize(config: PretrainConfig, start: Start, folder: Path, progress: Progress) -> None:
    """Tokenize the text, unless the interrupted run has."""
    if fault_of(folder) is None:
        return
    remove(folder)
    report = RowReport(policy=config.bad_rows)
    text = corpora.read_text(config.text, report)
    corpora.tokenize(text, start.tokenizer.backend_tokenizer, folder, progress)
    if found := report.summary():
        progress.say(found)
    seal(folder)


def _settings(config: PretrainConfig) -> dict[str, object]:
    """What a resumed run must have in common with the interrupted one."""
    hashes = [hash_file(path) for path in config.text]
    return {**serialization.to_plain(config), "text_sha256": hashes}


def _run(
    config: PretrainConfig, start: Start, work: RunDirectory, progress: Progress
) -> Pretrained | None:
    checkpoints.use_threads()
    corpus = corpora.open_corpus(work.folder / "corpus")
    rows = cut(
        corpus,
        max_length=config.max_length,
        next_sentence=config.next_sentence,
        specials=3 if config.next_sentence else 2,
        seed=config.seed,
    )
    parts = split(len(rows), config.held_out, most=MOST_HELD_OUT, seed=config.seed)
    masker = RowMasker.from_tokenizer(start.tokenizer, config.mlm_probability)
    transformers.set_seed(config.seed)
    model = make_model(start.config, start.folder, next_sentence=config.next_sentence)
    if work.first:
        progress.say(_introduce(model, corpus, len(parts.train), len(parts.held_out)))
    material = training.Material(
        model=model,
        rows=rows,
        split=parts,
        masker=masker,
        held_out=hold_out(rows, parts.held_out, masker, seed=config.seed),
    )
    trained = training.train(config, material, work.folder, progress)
    accelerate.PartialState().wait_for_everyone()
    if not work.first:
        return None
    record = _record(config, start, corpus, material, trained)
    _write(model, start.tokenizer, record, trained.curves, work)
    return Pretrained(output=config.output, record=record)


def _introduce(
    model: transformers.PreTrainedModel, corpus: Corpus, rows: int, held_out: int
) -> str:
    config = model.config
    return (
        f"{config.model_type}, {config.num_hidden_layers} layers of {config.hidden_size}, "
        f"{model.num_parameters() / 1e6:.1f} million parameters; {len(corpus.tokens):,} tokens "
        f"in {len(corpus.lines) - 1:,} lines: {rows:,} rows to train on, {held_out:,} held out"
    )


def _record(
    config: PretrainConfig,
    start: Start,
    corpus: Corpus,
    material: training.Material,
    trained: training.Trained,
) -> Pretraining:
    left_out = ("text", "output", "model", "max_length", "log_dir")
    plain = serialization.to_plain(config).items()
    settings: dict[str, Setting] = {name: v for name, v in plain if name not in left_out}
    settings["precision"] = trained.precision.value
    settings["learning_rate"] = config.peak_learning_rate
    base = config.model
    return Pretraining(
        base=Path(base).resolve().name if base and Path(base).is_dir() else base,
        architecture=start.config.model_type,
        parameters=material.model.num_parameters(),
        vocabulary=int(start.config.vocab_size),
        max_length=config.max_length,
        text=tuple(TextFile(path=str(p.absolute()), sha256=hash_file(p)) for p in config.text),
        documents=len(corpus.documents) - 1,
        lines=len(corpus.lines) - 1,
        tokens=len(corpus.tokens),
        rows=len(material.split.train),
        held_out=len(material.split.held_out),
        settings=settings,
        steps=trained.steps,
        epochs=trained.epochs,
        seconds=round(trained.seconds, 3),
        tokens_per_second=round(trained.tokens_per_second, 1),
        checks=trained.checks,
        versions={"bertedge": __version__}
        | {name: version(name) for name in ("torch", "transformers", "tokenizers")},
        created=datetime.now(UTC).isoformat(timespec="seconds"),
    )


def _write(
    model: transformers.PreTrainedModel,
    tokenizer: transformers.PreTrainedTokenizerFast,
    record: Pretraining,
    curves: str,
    work: RunDirectory,
) -> None:
    with publish_output(work) as done:
        model.save_pretrained(done)
        save_tokenizer(tokenizer, done)
        (done / PRETRAINING).write_text(serialization.to_json(record), encoding="utf-8")
        (done / CURVES).write_text(curves, encoding="utf-8")
