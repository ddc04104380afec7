"""What every test may use: a tiny base model, small labelled files, the data sets beside us."""

import importlib.metadata
import importlib.util
import json
import os
import platform
import random
import shutil
import signal
import string
import tempfile
import traceback
import zipfile
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Any
from xml.sax.saxutils import escape, quoteattr

import pytest
from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, processors

from bertedge.bundle import open_bundle, write_bundle
from bertedge.predictor import Predictor
from bertedge.spec import Task

if TYPE_CHECKING:
    from selenium import webdriver

    from bertedge.checkpoint import DataFile, Training
    from bertedge.spec import ModelSpec

REPOSITORY = Path(__file__).resolve().parent.parent
CHROMIUM = (
    *("--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--disable-dev-shm-usage"),
    *("--no-first-run", "--disable-background-networking", "--disable-component-update"),
    *("--disable-sync", "--hide-scrollbars"),
)
SHARED_DATA = REPOSITORY.parent / "shared" / "data"
NOBODY = 65534
LIBRARIES = ("numpy", "tokenizers", "onnxruntime", "onnxruntime-gpu", "torch", "transformers")

WriteWorkbook = Callable[..., Path]
_SHEETS = "http://schemas.openxmlformats.org/spreadsheetml/2006/main"
_OFFICE = "http://schemas.openxmlformats.org/officeDocument/2006"
_PACKAGE = "http://schemas.openxmlformats.org/package/2006"

LONGEST = ("test_whole_way.py", "test_kills.py", "test_quickstart.py", "test_network.py")
"""Files whose single tests take longest, which start first: at the end all processes are busy."""

COLORS = ["red", "blue", "green", "white"]
FRUITS = ["apple", "pear", "plum", "grape"]
FILLERS = ["the", "a", "one", "very", "old", "new", "here", "there", "take", "see"]
PLACES = ["paris", "oslo", "lima"]


def pytest_configure() -> None:
    # What starts us in the background may have SIGINT ignored, and every process that a test
    # starts would inherit that; a handler of ours is not inherited.
    if signal.getsignal(signal.SIGINT) == signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)


def pytest_report_header() -> list[str]:
    versions = [f"Python {platform.python_version()}"]
    for library in LIBRARIES:
        try:
            versions.append(f"{library} {importlib.metadata.version(library)}")
        except importlib.metadata.PackageNotFoundError:
            continue
    return [", ".join(versions), f"execution providers: {', '.join(_providers()) or 'none'}"]


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    items.sort(key=lambda item: item.path.name not in LONGEST)
    needs_gpu = [item for item in items if item.get_closest_marker("gpu")]
    if needs_gpu and "CUDAExecutionProvider" not in _providers():
        for item in needs_gpu:
            item.add_marker(pytest.mark.skip(reason="onnxruntime has no CUDAExecutionProvider"))
    if os.environ.get("BERTEDGE_CAMPAIGN") != "full":
        for item in items:
            if item.get_closest_marker("full"):
                item.add_marker(pytest.mark.skip(reason="runs with BERTEDGE_CAMPAIGN=full"))


@pytest.fixture(scope="session")
def shared_data() -> Path:
    if not SHARED_DATA.is_dir():
        pytest.skip("the data sets are not beside the repository (../shared/data)")
    return SHARED_DATA


@pytest.fixture
def anyones_folder() -> Iterator[Path]:
    """An empty folder that every user may write to; `tmp_path` is for its owner alone."""
    with tempfile.TemporaryDirectory() as folder:
        Path(folder).chmod(0o777)
        yield Path(folder)


@pytest.fixture(scope="session")
def as_ordinary_user() -> Callable[[Callable[[], None]], None]:
    """What runs a function as a user whom file permissions bind."""
    return run_as_ordinary_user


def run_as_ordinary_user(function: Callable[[], None]) -> None:
    """Run a function as a user whom file permissions bind: where this is root, in a child."""
    if os.getuid() != 0:
        function()
        return
    read, write = os.pipe()
    child = os.fork()
    if child == 0:
        try:
            os.setgroups([])
            os.setgid(NOBODY)
            os.setuid(NOBODY)
            function()
        except BaseException:  # pytest's own failures are no Exception
            os.write(write, traceback.format_exc().encode())
        finally:
            os._exit(0)
    os.close(write)
    with os.fdopen(read) as said:
        failure = said.read()
    os.waitpid(child, 0)
    if failure:
        pytest.fail(failure)


@pytest.fixture(scope="session")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A BERT of 2 layers with random weights: what `finetune --model` starts from."""
    import torch
    from transformers import BertConfig, BertModel, PreTrainedTokenizerFast

    folder = tmp_path_factory.mktemp("base") / "tiny-bert"
    words = [*COLORS, *FRUITS, *FILLERS, *PLACES]
    letters = [chr(c) for c in range(ord("a"), ord("z") + 1)]
    pieces = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *words, *letters]
    pieces += ["##" + letter for letter in letters] + [".", ","]
    vocabulary = {piece: i for i, piece in enumerate(dict.fromkeys(pieces))}
    backend = Tokenizer(models.WordPiece(vocabulary, unk_token="[UNK]"))
    backend.normalizer = normalizers.BertNormalizer(lowercase=True)
    backend.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    backend.post_processor = processors.TemplateProcessing(
        single="[CLS] $A [SEP]",
        pair="[CLS] $A [SEP] $B:1 [SEP]:1",
        special_tokens=[("[CLS]", 2), ("[SEP]", 3)],
    )
    tokenizer = PreTrainedTokenizerFast(
        tokenizer_object=backend,
        unk_token="[UNK]",
        pad_token="[PAD]",
        cls_token="[CLS]",
        sep_token="[SEP]",
        mask_token="[MASK]",
        model_max_length=32,
        model_input_names=["input_ids", "token_type_ids", "attention_mask"],
    )
    torch.manual_seed(0)
    config = BertConfig(
        vocab_size=len(vocabulary),
        hidden_size=32,
        num_hidden_layers=2,
        num_attention_heads=2,
        intermediate_size=64,
        max_position_embeddings=32,
    )
    BertModel(config).save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder


def sentence(rng: random.Random, word: str) -> str:
    words = [*rng.choices(FILLERS, k=rng.randint(1, 6)), word]
    rng.shuffle(words)
    return " ".join(words)


@pytest.fixture(scope="session")
def texts(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Colors against fruits: a text classification that a tiny model learns in seconds."""
    folder = tmp_path_factory.mktemp("texts")
    rng = random.Random(0)
    files = {}
    for split, rows in (("train", 320), ("dev", 80)):
        lines = ["text,label"]
        for i in range(rows):
            kind = ("color", "fruit")[i % 2]
            lines.append(f"{sentence(rng, rng.choice((COLORS, FRUITS)[i % 2]))},{kind}")
        files[split] = folder / f"{split}.csv"
        files[split].write_text("\n".join(lines) + "\n")
    return files


@pytest.fixture(scope="session")
def pairs(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Two texts, and whether the second is about a fruit."""
    folder = tmp_path_factory.mktemp("pairs")
    rng = random.Random(1)
    files = {}
    for split, rows in (("train", 240), ("dev", 60)):
        lines = ["sentence1\tsentence2\tlabel"]
        for i in range(rows):
            second = sentence(rng, rng.choice((COLORS, FRUITS)[i % 2]))
            lines.append(f"{sentence(rng, 'old')}\t{second}\t{i % 2}")
        files[split] = folder / f"{split}.tsv"
        files[split].write_text("\n".join(lines) + "\n")
    return files


@pytest.fixture(scope="session")
def tags(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Colors and places as entities, some of several words."""
    folder = tmp_path_factory.mktemp("tags")
    rng = random.Random(2)
    files = {}
    for split, rows in (("train", 300), ("dev", 60)):
        lines = []
        for _ in range(rows):
            words = rng.choices(FILLERS, k=rng.randint(1, 5))
            marks = ["O"] * len(words)
            entity = rng.choice((["red"], ["blue", "green"], ["paris"], ["oslo", "lima"]))
            kind = "COLOR" if entity[0] in COLORS else "PLACE"
            at = rng.randint(0, len(words))
            words[at:at] = entity
            marks[at:at] = [f"{'B' if i == 0 else 'I'}-{kind}" for i in range(len(entity))]
            lines.append(json.dumps({"tokens": words, "tags": marks}))
        files[split] = folder / f"{split}.jsonl"
        files[split].write_text("\n".join(lines) + "\n")
    return files


@pytest.fixture(scope="session")
def training_record() -> "Callable[..., Training]":
    """What `finetune` records of a model trained on a file; any field may be given."""
    from bertedge.checkpoint import Training

    def record(model: "ModelSpec", train: "DataFile", **fields: Any) -> Training:
        unknown: dict[str, Any] = {
            "base": "tiny",
            "dev": None,
            "settings": {},
            "seconds": 1.0,
            "epochs": 1.0,
            "best_epoch": None,
            "truncated": 0,
            "dev_scores": None,
            "versions": {},
            "created": "2026-01-01T00:00:00+00:00",
        }
        return Training(model=model, train=train, **unknown | fields)

    return record


@pytest.fixture(scope="module")
def browser(tmp_path_factory: pytest.TempPathFactory) -> "Iterator[webdriver.Chrome]":
    """A Chromium without a window, to look at pages in."""
    from selenium import webdriver
    from selenium.common.exceptions import WebDriverException
    from selenium.webdriver.chrome.service import Service

    chromium = shutil.which("chromium") or shutil.which("chromium-browser")
    driver = shutil.which("chromedriver")
    if not chromium or not driver:
        pytest.skip("needs chromium and chromedriver (Debian: chromium chromium-driver)")
    options = webdriver.ChromeOptions()
    options.binary_location = chromium
    for flag in (*CHROMIUM, f"--user-data-dir={tmp_path_factory.mktemp('chromium')}"):
        options.add_argument(flag)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
    try:
        chrome = webdriver.Chrome(options=options, service=Service(driver))
    except WebDriverException as error:
        pytest.skip(f"chromium does not start here: {str(error).splitlines()[0]}")
    yield chrome
    chrome.quit()


def _providers() -> list[str]:
    try:
        import onnxruntime
    except ImportError:
        return []
    return onnxruntime.get_available_providers()


@pytest.fixture
def write_workbook(tmp_path: Path) -> WriteWorkbook:
    """Make an .xlsx file: its sheets by name, each a list of rows, first in row `first`."""

    def make(name: str, sheets: dict[str, list[list[object]]], first: int = 1) -> Path:
        names = "".join(
            f'<sheet name={quoteattr(title)} sheetId="{i}" r:id="rId{i}"/>'
            for i, title in enumerate(sheets, 1)
        )
        relations = "".join(
            f'<Relationship Id="rId{i}" Type="{_OFFICE}/relationships/worksheet" '
            f'Target="worksheets/sheet{i}.xml"/>'
            for i in range(1, len(sheets) + 1)
        )
        with zipfile.ZipFile(tmp_path / name, "w") as file:
            file.writestr("[Content_Types].xml", f'<Types xmlns="{_PACKAGE}/content-types"/>')
            file.writestr(
                "_rels/.rels",
                f'<Relationships xmlns="{_PACKAGE}/relationships"><Relationship Id="rId1" '
                f'Type="{_OFFICE}/relationships/officeDocument" Target="xl/workbook.xml"/>'
                "</Relationships>",
            )
            file.writestr(
                "xl/workbook.xml",
                f'<workbook xmlns="{_SHEETS}" xmlns:r="{_OFFICE}/relationships">'
                f"<sheets>{names}</sheets></workbook>",
            )
            file.writestr(
                "xl/_rels/workbook.xml.rels",
                f'<Relationships xmlns="{_PACKAGE}/relationships">{relations}</Relationships>',
            )
            for i, rows in enumerate(sheets.values(), 1):
                body = "".join(_sheet_row(number, row) for number, row in enumerate(rows, first))
                file.writestr(
                    f"xl/worksheets/sheet{i}.xml",
                    f'<worksheet xmlns="{_SHEETS}"><sheetData>{body}</sheetData></worksheet>',
                )
        return tmp_path / name

    return make


def _sheet_row(number: int, row: list[object]) -> str:
    cells = []
    for letter, value in zip(string.ascii_uppercase, row, strict=False):
        place = f'<c r="{letter}{number}"'
        if isinstance(value, bool):
            cells.append(f'{place} t="b"><v>{int(value)}</v></c>')
        elif isinstance(value, int | float):
            cells.append(f"{place}><v>{value}</v></c>")
        elif value is not None:
            text = f'<t xml:space="preserve">{escape(str(value))}</t>'
            cells.append(f'{place} t="inlineStr"><is>{text}</is></c>')
    return f'<row r="{number}">{"".join(cells)}</row>'


@pytest.fixture(scope="session")
def text_bundle() -> Path:
    return REPOSITORY / "models" / "tiny" / "text-classification"


@pytest.fixture(scope="session")
def token_bundle() -> Path:
    return REPOSITORY / "models" / "tiny" / "token-classification"


@pytest.fixture(scope="session")
def classifier(text_bundle: Path) -> Predictor:
    return Predictor.open(text_bundle, device="cpu", threads=1)


@pytest.fixture(scope="session")
def tagger(token_bundle: Path) -> Predictor:
    return Predictor.open(token_bundle, device="cpu", threads=1)


@pytest.fixture
def altered(tmp_path: Path) -> Callable[..., Path]:
    """Writes a bundle anew with fields of its manifest, or of its only variant, changed."""

    def alter(bundle: Path, *, variant: dict[str, Any] | None = None, **fields: Any) -> Path:
        manifest = open_bundle(bundle).manifest
        if variant:
            fields["variants"] = (replace(manifest.variants[0], **variant),)
        own = {name: fields.pop(name) for name in [*fields] if hasattr(manifest.model, name)}
        manifest = replace(manifest, model=replace(manifest.model, **own), **fields)
        names = {manifest.tokenizer.file, *(each.model.file for each in manifest.variants)}
        output = tmp_path / "altered"
        write_bundle(output, manifest, [bundle / name for name in names], overwrite=True)
        return output

    return alter


@pytest.fixture(scope="session")
def make_tiny() -> ModuleType:
    pytest.importorskip("onnx")
    spec = importlib.util.spec_from_file_location(
        "make_tiny", REPOSITORY / "scripts" / "make_tiny.py"
    )
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="session")
def token_checkpoint(make_tiny: ModuleType, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_tiny.make_checkpoint(
        Task.TOKEN_CLASSIFICATION, tmp_path_factory.mktemp("tiny") / "token-classification"
    )


@pytest.fixture(scope="session")
def text_checkpoint(make_tiny: ModuleType, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_tiny.make_checkpoint(
        Task.TEXT_CLASSIFICATION, tmp_path_factory.mktemp("tiny") / "text-classification"
    )
