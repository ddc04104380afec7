import itertools
import os
import random
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from types import FrameType

import numpy as np
import pytest

import bertedge
from bertedge.bundle import Quantization, open_bundle
from bertedge.errors import (
    BertedgeError,
    BundleError,
    DataError,
    DeviceError,
    SettingError,
    VerificationError,
)
from bertedge.predictions import Classification, Entities, Prediction
from bertedge.predictor import Predictor
from bertedge.runtime.providers import CPU, CUDA, Device
from bertedge.runtime.tokenizer import Tokenizer
from bertedge.runtime.variants import choose
from bertedge.runtime.verification import check_golden
from bertedge.spec import Task

WORDS = ["turn", "the", "kitchen", "lights", "off", "kälter", "🙂", "日本語", "unbelievable", "x"]
Altered = Callable[..., Path]


def sentences(count: int, longest: int = 12) -> list[str]:
    dice = random.Random(count)
    return [" ".join(dice.choices(WORDS, k=dice.randint(0, longest))) for _ in range(count)]


def assert_alike(found: list[Prediction], expected: list[Prediction]) -> None:
    """Scores may differ in the last digits: a batch adds numbers in another order."""
    assert len(found) == len(expected)
    for one, other in zip(found, expected, strict=True):
        if isinstance(one, Classification) and isinstance(other, Classification):
            assert (one.label, one.truncated) == (other.label, other.truncated)
            assert one.scores == pytest.approx(other.scores, abs=1e-5)
        else:
            assert isinstance(one, Entities) and isinstance(other, Entities)
            assert one.windows == other.windows
            assert [(e.label, e.start, e.end, e.text) for e in one.entities] == [
                (e.label, e.start, e.end, e.text) for e in other.entities
            ]


@pytest.fixture(params=["classifier", "tagger"])
def predictor(request: pytest.FixtureRequest) -> Predictor:
    return request.getfixturevalue(request.param)


def test_load_opens_a_bundle_by_its_path(text_bundle: Path) -> None:
    predictor = bertedge.load(str(text_bundle), threads=1)
    assert predictor.labels == ("lights", "music", "heating", "other")
    assert (predictor.task.value, predictor.max_length) == ("text-classification", 64)
    assert predictor.variant.name == "cpu-fp32"
    prediction = predictor.predict_one("turn the hall lights off")
    assert isinstance(prediction, Classification)
    assert prediction.label in predictor.labels
    assert sum(prediction.scores.values()) == pytest.approx(1)


MOST_FILES = 10
PACKAGE = Path(bertedge.__file__).parent


def files_entered(call: Callable[[], object]) -> list[str]:
    """The files of the package whose code runs in a call, in the order in which they are entered.

    What a dataclass generates lies in no file.
    """
    found: dict[str, None] = {}

    def note(frame: FrameType, event: str, _: object) -> None:
        path = Path(frame.f_code.co_filename)
        if event == "call" and path.is_relative_to(PACKAGE):
            found.setdefault(path.relative_to(PACKAGE).as_posix())

    before = sys.getprofile()
    sys.setprofile(note)
    try:
        call()
    finally:
        sys.setprofile(before)
    return list(found)


def test_from_a_text_to_its_prediction_few_files_are_entered(predictor: Predictor) -> None:
    """Whoever reads, or steps through, what a prediction does has that many files to open."""
    text = ["turn the hall lights off"]
    predictor.predict(text)
    found = files_entered(lambda: predictor.predict(text))
    assert len(found) <= MOST_FILES, f"{len(found)} files: {', '.join(found)}"


def test_results_come_in_the_callers_order(predictor: Predictor) -> None:
    texts = sentences(150)
    assert_alike(predictor.predict(texts), [predictor.predict_one(text) for text in texts])


def test_batching_and_chunks_change_nothing(predictor: Predictor) -> None:
    texts = sentences(100)
    expected = predictor.predict(texts)
    for budget, chunk in [(1, 7), (64, 1), (100_000, 100)]:
        found = predictor.predict_iter(texts, token_budget=budget, chunk=chunk)
        assert_alike(list(found), expected)
    assert predictor.predict([]) == list(predictor.predict_iter([])) == []


def test_a_stream_is_read_no_further_than_the_chunk_ahead(predictor: Predictor) -> None:
    read = itertools.count()
    texts = (f"turn {next(read)} off" for _ in itertools.count())
    found = predictor.predict_iter(texts, chunk=8)
    assert next(read) == 0  # nothing is read before it is asked for
    next(found)
    assert next(read) == 17
    for _ in range(7):
        next(found)
    assert next(read) == 18
    next(found)
    assert next(read) == 27


def test_chunks_of_one_are_answered_before_more_is_read(predictor: Predictor) -> None:
    read = itertools.count()
    found = predictor.predict_iter((f"turn {next(read)} off" for _ in range(99)), chunk=1)
    next(found)
    assert next(read) == 1
    next(found)
    assert next(read) == 3


def test_a_chunk_is_bounded_in_characters_too(classifier: Predictor) -> None:
    read: list[int] = []

    def texts() -> Iterator[str]:
        for number in range(20):
            read.append(number)
            yield "x" * 300_000

    next(classifier.predict_iter(texts()))
    assert len(read) == 14  # a chunk of two million characters, and the one ahead


@pytest.mark.parametrize(
    "text",
    [
        "",
        " \t\n",
        "x" * 100_000,
        "🙂" * 50,
        "\x00\x07\x1b",
        "a\ud83db",
        "\udcff",
        "👩\u200d👧",
        "\ufffe",
    ],
)
def test_any_string_is_answered(predictor: Predictor, text: str) -> None:
    assert_alike(predictor.predict(["on", text, "off"])[1:2], [predictor.predict_one(text)])


def test_a_longer_text_is_cut_and_says_so(classifier: Predictor) -> None:
    fits, longer = "turn " * 62, "turn " * 63
    found = classifier.predict([fits, longer, longer + "off"])
    assert [each.truncated for each in found if isinstance(each, Classification)] == [
        False,
        True,
        True,
    ]
    assert_alike([replace(found[1], truncated=False)], [found[0]])  # type: ignore[type-var]


def test_no_token_of_a_long_text_is_lost(tagger: Predictor) -> None:
    text = " ".join(sentences(60, 20))
    found = tagger.predict_one(text, aggregation="none")
    assert isinstance(found, Entities) and found.windows > 5
    (whole,) = Tokenizer(
        open_bundle(tagger._bundle.folder).tokenizer_json(), max_length=10**6
    ).encode_windows([text])
    spans = {tuple(span) for span in whole.offsets[whole.content].tolist()}
    assert {(entity.start, entity.end) for entity in found.entities} <= spans
    starts = [entity.start for entity in found.entities]
    assert starts == sorted(set(starts))
    # The first window is labelled as if it were the whole text, up to where the next takes over.
    first = tagger.tokenizer.encode_windows([text])[0]
    ends = first.offsets[first.content][:, 1].tolist()
    alone = tagger.predict_one(text[: ends[-1]], aggregation="none")
    assert isinstance(alone, Entities) and alone.windows == 1
    early = [
        [(entity.label, entity.start) for entity in each.entities if entity.end <= ends[40]]
        for each in (found, alone)
    ]
    assert early[0] == early[1] != []


@pytest.mark.parametrize(
    ("texts", "message"),
    [
        (["on", 3], "text 1 is of type int; this model takes single texts: give a string"),
        (["on", None], "text 1 is of type NoneType"),
        ([b"on"], "text 0 is of type bytes"),
        ([float("nan")], "text 0 is of type float"),
        ([["a", "b"]], "text 0 is of type list"),
        (["on", ("a", "b")], "text 1 is a pair; this model takes single texts"),
        ("turn it off", "texts is one string; give a list of texts, or use predict_one"),
    ],
)
def test_what_is_no_text_is_named(predictor: Predictor, texts: object, message: str) -> None:
    with pytest.raises(DataError, match=message):
        predictor.predict(texts)  # type: ignore[arg-type]


def test_the_index_of_a_bad_text_counts_from_the_start_of_the_stream(classifier: Predictor) -> None:
    texts: list[object] = ["on"] * 20
    texts[17] = 5
    found = classifier.predict_iter(iter(texts), chunk=4)  # type: ignore[arg-type]
    assert len(list(itertools.islice(found, 16))) == 16
    with pytest.raises(DataError, match="text 17 is"):
        next(found)


def test_a_pair_model_takes_tuples_of_two(text_bundle: Path, altered: Altered) -> None:
    predictor = bertedge.load(altered(text_bundle, pair=True))
    long, short = "turn " * 100, "lights off"
    (one, cut) = predictor.predict([("kitchen", short), (long, short)])
    assert isinstance(one, Classification) and isinstance(cut, Classification)
    assert (one.truncated, cut.truncated) == (False, True)
    assert predictor.predict_one(("kitchen", short)).scores == pytest.approx(one.scores, abs=1e-5)
    for text, found in [("on", "of type str"), (("a", 1), "of type tuple"), (("a",), "tuple")]:
        with pytest.raises(DataError, match=f"text 0 is .*{found}; .* give a tuple of two strings"):
            predictor.predict_one(text)  # type: ignore[arg-type]


def test_threads_share_a_predictor(predictor: Predictor) -> None:
    texts = [sentences(40), sentences(41), ["turn " * 200] * 5, sentences(90, 3)]
    expected = [predictor.predict(each) for each in texts]
    found: list[list[Prediction]] = [[] for _ in range(16)]

    def work(place: int) -> None:
        for _ in range(3):
            found[place] = predictor.predict(texts[place % 4])

    workers = [threading.Thread(target=work, args=(place,)) for place in range(16)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    assert all(each == expected[place % 4] for place, each in enumerate(found))


def test_aggregation_is_for_entities_and_of_a_closed_set(
    classifier: Predictor, tagger: Predictor
) -> None:
    with pytest.raises(SettingError, match="'median'; choose one of none, simple, first"):
        tagger.predict_iter([], aggregation="median")
    with pytest.raises(SettingError, match="labels whole texts"):
        classifier.predict_iter([], aggregation="first")
    text = "turn the unbelievable kitchen lights off"
    assert tagger.predict_one(text) == tagger.predict_one(text, aggregation="first")
    with pytest.raises(SettingError, match="chunk is 0"):
        tagger.predict_iter([], chunk=0)


def test_other_answers_than_recorded_are_refused(text_bundle: Path, altered: Altered) -> None:
    golden = open_bundle(text_bundle).manifest.golden
    rows = [list(row) for row in golden.logits]
    rows[2][1] += 0.5
    wrong = replace(golden, logits=tuple(tuple(row) for row in rows))
    spread = np.ptp(np.array(rows))
    message = rf"variant cpu-fp32 .* differ by {0.5 / spread:.2g} of .*, 0.0001 is tolerated"
    with pytest.raises(VerificationError, match=message):
        bertedge.load(altered(text_bundle, golden=wrong))
    share = 0.5 / spread
    with pytest.raises(VerificationError):
        bertedge.load(
            altered(text_bundle, golden=wrong, variant={"golden_tolerance": 0.99 * share})
        )
    bertedge.load(altered(text_bundle, golden=wrong, variant={"golden_tolerance": 1.01 * share}))
    short = replace(golden, logits=golden.logits[:-1])
    with pytest.raises(BundleError, match="3 rows of golden logits for 4 texts"):
        bertedge.load(altered(text_bundle, golden=short))


def test_logits_that_are_no_numbers_are_refused(classifier: Predictor) -> None:
    class Broken:
        def logits(self, batch: object) -> np.ndarray:
            return np.full((4, 4), np.nan, np.float32)

    with pytest.raises(VerificationError, match="differ by nan"):
        check_golden(classifier.manifest, classifier.variant, Broken(), classifier.tokenizer)


@pytest.mark.parametrize(
    ("target", "exact", "opens"),
    [("x86-vnni", True, True), ("x86-vnni", False, False), ("x86-avx2", False, True)],
)
def test_weights_of_eight_bits_are_refused_where_products_overflow(
    target: str,
    exact: bool,
    opens: bool,
    text_bundle: Path,
    altered: Altered,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("bertedge.runtime.verification.int8_is_exact", lambda: exact)
    made = Quantization(recipe="dynamic", target=target, calibration=None, trials=())
    bundle = altered(text_bundle, variant={"precision": "int8", "quantization": made})
    if opens:
        bertedge.load(bundle)
        return
    with pytest.raises(VerificationError, match=r"made for x86-vnni, but this CPU .* x86-avx2"):
        bertedge.load(bundle)


def test_the_fastest_variant_for_the_device_is_chosen(text_bundle: Path) -> None:
    bundle = open_bundle(text_bundle)
    base = bundle.manifest.variants[0]

    def made(name: str, *providers: str) -> object:
        return replace(base, name=name, precision=name.split("-")[1], providers=providers)

    cpu, cuda = "CPUExecutionProvider", "CUDAExecutionProvider"
    several = (made("cpu-fp32", cpu), made("cpu-int8", cpu, cuda), made("cuda-fp16", cuda))
    bundle = replace(bundle, manifest=replace(bundle.manifest, variants=several))

    def name(device: Device, wanted: str | None = None) -> str | None:
        variant = choose(bundle, device, wanted)
        return variant and variant.name

    assert name(CPU) == "cpu-int8"
    assert name(CUDA) == "cuda-fp16"
    assert name(CPU, "cpu-fp32") == "cpu-fp32"
    assert name(CPU, "cuda-fp16") is None
    assert name(CUDA, "cpu-int8") is None  # whatever its providers say
    with pytest.raises(BundleError, match="no variant 'gpu'; it has cpu-fp32, cpu-int8, cuda-fp16"):
        choose(bundle, CPU, "gpu")


@pytest.mark.parametrize(
    ("settings", "error", "message"),
    [
        ({"device": "tpu"}, SettingError, "device is 'tpu'; choose one of cpu, cuda, auto"),
        (
            {"device": "cuda"},
            DeviceError,
            "has no variant for device cuda; it has cpu-fp32 for CPU",
        ),
        ({"device": "cuda", "variant": "cpu-fp32"}, SettingError, "not made for device cuda"),
        ({"variant": "cpu-int8"}, BundleError, "no variant 'cpu-int8'; it has cpu-fp32"),
        ({"threads": -1}, SettingError, "threads is -1"),
    ],
)
def test_settings_that_cannot_work_are_named(
    settings: dict[str, object], error: type[BertedgeError], message: str, text_bundle: Path
) -> None:
    with pytest.raises(error, match=message):
        bertedge.load(text_bundle, **settings)  # type: ignore[arg-type]


def test_auto_falls_back_to_the_cpu_where_cuda_does_not_load(
    text_bundle: Path, altered: Altered
) -> None:
    both = ("CUDAExecutionProvider", "CPUExecutionProvider")
    predictor = bertedge.load(altered(text_bundle, variant={"providers": both}), device="auto")
    assert predictor.engine.providers[-1] == "CPUExecutionProvider"


def test_a_flipped_byte_is_found_before_anything_is_parsed(
    text_bundle: Path, altered: Altered
) -> None:
    folder = altered(text_bundle)
    for name in ("bertedge.json", "tokenizer.json", "cpu-fp32.onnx"):
        path = folder / name
        whole = path.read_bytes()
        path.write_bytes(whole[:300] + bytes([whole[300] ^ 1]) + whole[301:])
        with pytest.raises(BundleError, match=name):
            bertedge.load(folder)
        path.write_bytes(whole)
    bertedge.load(folder)


def test_a_start_imports_nothing_that_it_does_not_use(text_bundle: Path) -> None:
    program = (
        "import sys, bertedge\n"
        "bertedge.load(sys.argv[1]).predict_one('turn the lights off')\n"
        "print(*sys.modules)"
    )
    run = [sys.executable, "-S", "-c", program, str(text_bundle)]
    packages = [path for path in sys.path if path]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(packages)}
    loaded = subprocess.run(run, capture_output=True, text=True, check=True, env=environment)
    unused = {
        "asyncio",
        "bertedge.data",
        "bertedge.metrics.classification",
        "bertedge.doctor",
        "concurrent.futures",
        "email",
        "importlib.metadata",
        "logging",
        "multiprocessing",
        "socket",
        "ssl",
        "subprocess",
        "tomllib",
        "unittest",
    }
    heavy = {"torch", "transformers", "optimum", "onnx", "datasets", "click", "safetensors"}
    assert (unused | heavy) & set(loaded.stdout.split()) == set()
    assert {"numpy", "tokenizers", "onnxruntime"} <= set(loaded.stdout.split())
    assert loaded.stderr == ""


@pytest.mark.parametrize("task", ["text-classification", Task.TEXT_CLASSIFICATION])
def test_a_bundle_is_for_the_task_that_is_asked_for(text_bundle: Path, task: Task | str) -> None:
    with bertedge.load(text_bundle, task=task, threads=1) as model:  # type: ignore[call-overload]
        assert isinstance(model.predict_one("turn it on"), Classification)


@pytest.mark.parametrize(
    ("wanted", "message"),
    [
        ({"task": "token-classification"}, "is for text-classification, not for token-class"),
        ({"task": "text"}, "task is 'text'; choose one of text-classification, "),
        (
            {"task": "text-classification", "problem_type": "regression"},
            "is for single_label_classification, not for regression; load it with problem_type=",
        ),
        ({"problem_type": "none"}, "problem_type is 'none'; choose one of single_label"),
    ],
)
def test_another_task_than_the_bundles_is_refused(
    text_bundle: Path, wanted: dict[str, str], message: str
) -> None:
    with pytest.raises(SettingError, match=message):
        bertedge.load(text_bundle, **wanted)
