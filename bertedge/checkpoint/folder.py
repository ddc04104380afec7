"""Where a checkpoint lies, and whether it is one: a directory here, or the model hub's copy.

The hub is asked for a name of the form owner/name, or one of its well-known models, and for
nothing that looks like a path: whoever owns the name of a mistyped path would supply the model.
"""

import difflib
import functools
import queue
import re
import threading
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar, cast

from bertedge.checkpoint.files import INDEX, WEIGHTS, check_files, shown
from bertedge.errors import CheckpointError, first_line
from bertedge.outputs import way_back

T = TypeVar("T")

PATIENCE_S = 10.0
"""For the hub's first answer; the download that follows takes its time."""
WELL_KNOWN = (
    "bert-base-cased",
    "bert-base-chinese",
    "bert-base-german-cased",
    "bert-base-multilingual-cased",
    "bert-base-multilingual-uncased",
    "bert-base-uncased",
    "bert-large-cased",
    "bert-large-uncased",
    "bert-large-uncased-whole-word-masking",
    "bert-large-uncased-whole-word-masking-finetuned-squad",
    "distilbert-base-cased",
    "distilbert-base-cased-distilled-squad",
    "distilbert-base-german-cased",
    "distilbert-base-multilingual-cased",
    "distilbert-base-uncased",
    "distilbert-base-uncased-distilled-squad",
    "distilbert-base-uncased-finetuned-sst-2-english",
    "distilroberta-base",
    "roberta-base",
    "roberta-large",
    "roberta-large-mnli",
)
"""Models that the hub has under a bare name."""
_FILES = ["*.json", "*.safetensors", "*.txt", "*.model"]
_OTHERS = (
    (
        ("pytorch_model.bin", "pytorch_model.bin.index.json", "model.pt", "model.pth"),
        "as a pickle ({}), which can run any code when loaded; save it as safetensors: "
        "model.save_pretrained(directory)",
    ),
    (
        ("tf_model.h5", "flax_model.msgpack", "*.ckpt.index", "saved_model.pb"),
        "for TensorFlow or Flax ({}); convert them: AutoModel.from_pretrained(directory, "
        "from_tf=True or from_flax=True), then save_pretrained(directory)",
    ),
    (("*.gguf",), "as GGUF ({}); give the checkpoint that it was made from"),
    (
        ("*.onnx", "onnx/*.onnx"),
        "as an ONNX graph ({}); give the checkpoint that it was exported from",
    ),
)
"""Weights that are not read, and the way to some that are."""
_ADAPTER = "adapter_config.json"


def fetch(name: str) -> Path:
    """Return the directory of a checkpoint, downloading it where `name` is a model of the hub.

    Its config and safetensors weights are there, and every file of it that is read is a plain
    one; CheckpointError says what is missing.
    """
    folder = locate(name)
    told = shown(name)
    if not folder.is_dir():
        raise CheckpointError(f"{told} is a file; give the checkpoint's directory")
    if (folder / "bertedge.json").exists():
        raise CheckpointError(f"{told} is a bundle; give the checkpoint that it was made from")
    if (folder / _ADAPTER).exists():
        raise CheckpointError(
            f"{told} is an adapter (LoRA), not a whole model; merge it first with peft: "
            "AutoPeftModelForSequenceClassification.from_pretrained(directory)"
            ".merge_and_unload().save_pretrained(merged)"
        )
    weights = any((folder / each).exists() for each in (WEIGHTS, INDEX))
    if not weights:
        _refuse_others(folder, told)
    if not (folder / "config.json").exists():
        raise CheckpointError(f"{told} is no checkpoint: it has no config.json{_inside(folder)}")
    if not weights:
        raise CheckpointError(f"{told} has no weights: {WEIGHTS} is missing")
    check_files(folder)
    return folder


def _refuse_others(folder: Path, told: str) -> None:
    for patterns, how in _OTHERS:
        found = next((path for each in patterns for path in sorted(folder.glob(each))), None)
        if found is not None:
            raise CheckpointError(f"{told} holds its weights {how.format(shown(found.name))}")


def _inside(folder: Path) -> str:
    """Name a checkpoint in the directory, where someone gave the directory of several."""
    found = next((path.parent for path in sorted(folder.glob("*/config.json"))), None)
    return f"; did you mean {shown(found)}?" if found else ""


def locate(name: str) -> Path:
    """Return the directory that `name` is, downloading it where it is a model of the hub.

    A directory here wins over the hub. CheckpointError where there is neither, after one
    attempt of at most `PATIENCE_S` seconds.
    """
    folder = Path(name)
    try:
        if folder.exists():
            return folder
        hint = way_back(folder)
        is_hub_name = not hint and _names_a_model(name)
    except (OSError, ValueError):  # longer than names can be, a NUL, a circle of links
        hint, is_hub_name = "", False
    if is_hub_name:
        return _download(name)
    raise CheckpointError(f"{shown(name)} does not exist{hint or _near(folder)}")


def _names_a_model(name: str) -> bool:
    """Return whether a name that is no path here may be asked for at the hub."""
    if name in WELL_KNOWN:
        return True
    if not re.fullmatch(r"\w[\w.-]{0,95}/\w[\w.-]{0,95}", name, re.ASCII):
        return False
    # Where the first part is a directory here, the whole is a path into it.
    return not Path(name).parent.is_dir()


def _near(folder: Path) -> str:
    """Suggest what stands beside the missing path under almost that name."""
    try:
        names = [path.name for path in folder.parent.iterdir() if path.is_dir()]
    except (OSError, ValueError):
        names = []
    close = difflib.get_close_matches(folder.name, names, n=1)
    if close:
        return f"; did you mean {shown(folder.parent / close[0])}?"
    models = difflib.get_close_matches(str(folder), WELL_KNOWN, n=1, cutoff=0.8)
    if models:
        return f"; did you mean {models[0]}?"
    return "; give a checkpoint's directory, or owner/name of a model on the hub"


@functools.cache  # the name is looked up before PyTorch is imported, and after
def _download(name: str) -> Path:
    from huggingface_hub import HfApi, constants, snapshot_download
    from huggingface_hub.errors import LocalEntryNotFoundError

    try:
        if not constants.HF_HUB_OFFLINE:
            revision = _ask(lambda: HfApi().model_info(name, timeout=PATIENCE_S).sha)
            return Path(snapshot_download(name, revision=revision, allow_patterns=_FILES))
        why = "HF_HUB_OFFLINE is set"
    except TimeoutError:
        why = f"the model hub gave no answer in {PATIENCE_S:.0f} s"
    except _connection_errors() as error:
        why = _why(error)
    try:
        return Path(snapshot_download(name, allow_patterns=_FILES, local_files_only=True))
    except (LocalEntryNotFoundError, OSError, ValueError):
        raise CheckpointError(
            f"{shown(name)} is no directory here and is not in the hub's cache, and {why}; "
            "give a checkpoint's directory"
        ) from None


def _connection_errors() -> tuple[type[Exception], ...]:
    """Return what the hub's library raises of connections: OSErrors, and httpx's since 1.0."""
    try:
        import httpx
    except ImportError:  # an older library, which asks by requests
        return (OSError, ValueError)
    return (OSError, ValueError, httpx.HTTPError)


def _why(error: Exception) -> str:
    """Return why a model did not come, in words for someone who asked for a checkpoint."""
    from huggingface_hub.errors import GatedRepoError, HfHubHTTPError, RepositoryNotFoundError

    match error:
        case GatedRepoError():
            return "the model hub gives it to those alone who may have it (set HF_TOKEN)"
        case RepositoryNotFoundError():
            return "the model hub has none of that name, or a private one (set HF_TOKEN)"
        case HfHubHTTPError() | ValueError():
            return f"the model hub answered: {first_line(error, 80)}"
        case OSError(errno=int()):
            return f"it could not be stored: {error.strerror}"
        case _:
            return "the model hub cannot be reached"


def _ask(question: Callable[[], T]) -> T:
    """Ask in a thread of its own: no timeout of a library's bounds the look-up of a host."""
    answers: queue.Queue[tuple[T | None, Exception | None]] = queue.Queue()

    def ask() -> None:
        try:
            answers.put((question(), None))
        except Exception as error:  # raised below, in the thread that waits
            answers.put((None, error))

    threading.Thread(target=ask, daemon=True).start()
    try:
        answer, error = answers.get(timeout=PATIENCE_S)
    except queue.Empty:
        raise TimeoutError from None
    if error is not None:
        raise error
    return cast(T, answer)
