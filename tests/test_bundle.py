import hashlib
import json
import os
import shutil
from dataclasses import replace
from pathlib import Path

import pytest

from bertedge import serialization
from bertedge.bundle import (
    FORMAT,
    MANIFEST,
    TOKENIZER,
    UNHASHED,
    Accuracy,
    Bundle,
    File,
    Golden,
    GraphPass,
    Manifest,
    Parity,
    Source,
    Variant,
    describe_file,
    hash_file,
    open_bundle,
    write_bundle,
)
from bertedge.errors import BundleError, OutputError
from bertedge.spec import ModelSpec, Task

MODEL = "cpu-int8.onnx"


def field(number: int, content: bytes) -> bytes:
    """A protobuf field of a few bytes."""
    return bytes([number << 3 | 2, len(content)]) + content


NODE = field(1, b"input_ids") + field(2, b"logits") + field(4, b"Identity")
GRAPH = field(7, field(1, NODE) + field(11, field(1, b"input_ids")) + field(12, b""))
"""As much of an ONNX file as a bundle looks into: one node, its input and its output."""


def make_variant(model: File) -> Variant:
    return Variant(
        name="cpu-int8",
        model=model,
        precision="int8",
        providers=("CPUExecutionProvider",),
        disabled_optimizers=("SkipLayerNormFusion",),
        passes=(GraphPass(name="cls", nodes=4),),
        parity=Parity(max_difference=0.01, tolerance=None, texts=32),
        accuracy=Accuracy(
            data="dev.tsv",
            sha256="ab" * 32,
            rows=10,
            metric="accuracy",
            checkpoint=0.9,
            variant=0.89,
            agreement=0.99,
        ),
        golden_tolerance=0.1,
    )


def make_manifest(tokenizer: File, model: File) -> Manifest:
    return Manifest(
        format=FORMAT,
        model=ModelSpec(
            task=Task.TEXT_CLASSIFICATION,
            labels=("an", "aus", "grüßen"),
            pair=False,
            max_length=128,
            pad_token_id=0,
        ),
        tokenizer=tokenizer,
        variants=(make_variant(model),),
        golden=Golden(texts=(("Licht an",),), logits=((0.5, -1e-9, 3.25),)),
        source=Source(
            name="home",
            architecture="bert",
            layers=2,
            hidden_size=8,
            heads=2,
            vocabulary=100,
            parameters=1000,
            sha256="cd" * 32,
        ),
        versions={"bertedge": "0.1.0"},
        created="2026-01-01T00:00:00Z",
    )


@pytest.fixture
def parts(tmp_path: Path) -> list[Path]:
    """A tokenizer, which the bundle never looks into, and a model."""
    folder = tmp_path / "parts"
    folder.mkdir()
    (folder / TOKENIZER).write_bytes(b'{"model": "not looked at"}\n')
    (folder / MODEL).write_bytes(GRAPH)
    return [folder / TOKENIZER, folder / MODEL]


@pytest.fixture
def bundle(tmp_path: Path, parts: list[Path]) -> Path:
    manifest = make_manifest(*(describe_file(part) for part in parts))
    write_bundle(tmp_path / "bundle", manifest, parts, overwrite=False)
    return tmp_path / "bundle"


def rewrite(bundle: Path, change: dict[str, object]) -> None:
    """Change the manifest, or what it says of the model, as its writer could, digest and all."""
    data = json.loads((bundle / MANIFEST).read_text(encoding="utf-8"))
    own = {name: value for name, value in change.items() if name in data["model"]}
    data["model"] |= own
    data |= {name: value for name, value in change.items() if name not in own}
    data["manifest_sha256"] = UNHASHED
    text = json.dumps(data)
    digest = hashlib.sha256(text.encode()).hexdigest()
    (bundle / MANIFEST).write_text(text.replace(UNHASHED, digest), encoding="utf-8")


def rename_model(bundle: Path, name: str) -> None:
    manifest = open_bundle(bundle).manifest
    model = replace(manifest.variants[0].model, file=name)
    rewrite(bundle, {"variants": [serialization.to_plain(make_variant(model))]})


def test_a_bundle_reads_back_as_it_was_written(bundle: Path, parts: list[Path]) -> None:
    opened = open_bundle(bundle)
    assert isinstance(opened, Bundle)
    written = make_manifest(*(describe_file(part) for part in parts))
    assert replace(opened.manifest, manifest_sha256=UNHASHED) == written
    assert opened.tokenizer_json() == '{"model": "not looked at"}\n'
    model = opened.variant("cpu-int8").model
    assert opened.path(model).read_bytes() == GRAPH
    assert (model.bytes, model.sha256) == (len(GRAPH), hashlib.sha256(GRAPH).hexdigest())
    assert sorted(path.name for path in bundle.iterdir()) == sorted([MANIFEST, TOKENIZER, MODEL])


def test_a_bundle_may_move(bundle: Path, tmp_path: Path) -> None:
    shutil.move(bundle, tmp_path / "elsewhere")
    open_bundle(tmp_path / "elsewhere")
    (tmp_path / "link").symlink_to("elsewhere")
    open_bundle(tmp_path / "link")


def test_the_manifest_states_its_own_hash_with_zeros_in_place(bundle: Path) -> None:
    text = (bundle / MANIFEST).read_text(encoding="utf-8")
    digest = open_bundle(bundle).manifest.manifest_sha256
    assert text.count(digest) == 1
    assert hashlib.sha256(text.replace(digest, UNHASHED).encode()).hexdigest() == digest


def test_an_unknown_variant_is_answered_with_those_there_are(bundle: Path) -> None:
    with pytest.raises(BundleError, match="has no variant 'cuda'; it has cpu-int8"):
        open_bundle(bundle).variant("cuda")


@pytest.mark.parametrize("name", [MANIFEST, TOKENIZER, MODEL])
def test_no_flipped_byte_goes_unnoticed(bundle: Path, name: str) -> None:
    path = bundle / name
    whole = path.read_bytes()
    for position in range(0, len(whole), 5):
        # In turn the lowest bit, the bit that makes upper case of lower case, and all bits.
        damaged = bytearray(whole)
        damaged[position] ^= (0x01, 0x20, 0xFF)[position % 3]
        path.write_bytes(damaged)
        with pytest.raises(BundleError) as caught:
            open_bundle(bundle)
        assert "\n" not in str(caught.value)
    path.write_bytes(whole)
    open_bundle(bundle)


@pytest.mark.parametrize("name", [MANIFEST, TOKENIZER, MODEL])
def test_no_truncated_or_lengthened_file_goes_unnoticed(bundle: Path, name: str) -> None:
    path = bundle / name
    whole = path.read_bytes()
    for damaged in (b"", whole[:1], whole[: len(whole) // 2], whole[:-1], whole + b"\n"):
        path.write_bytes(damaged)
        with pytest.raises(BundleError, match=name):
            open_bundle(bundle)


@pytest.mark.parametrize("name", [TOKENIZER, MODEL])
def test_a_missing_file_is_named(bundle: Path, name: str) -> None:
    (bundle / name).unlink()
    with pytest.raises(BundleError, match=f"{name} is missing"):
        open_bundle(bundle)
    (bundle / name).mkdir()
    with pytest.raises(BundleError, match=f"{name} is missing"):
        open_bundle(bundle)


def test_a_directory_without_a_manifest_is_no_bundle(bundle: Path) -> None:
    (bundle / MANIFEST).unlink()
    with pytest.raises(BundleError, match=r"is no bundle: it has no bertedge\.json$"):
        open_bundle(bundle)
    (bundle / "config.json").touch()
    with pytest.raises(BundleError, match="looks like a checkpoint: bertedge export"):
        open_bundle(bundle)
    (bundle / MANIFEST).mkdir()
    with pytest.raises(BundleError, match="is no plain file inside the bundle"):
        open_bundle(bundle)


def test_what_is_no_directory_is_no_bundle(bundle: Path) -> None:
    for path in (bundle / MANIFEST, bundle / "missing"):
        with pytest.raises(BundleError, match="is not a directory"):
            open_bundle(path)


def test_a_newer_format_says_to_upgrade(bundle: Path) -> None:
    # Whatever else a newer format changes, this is what is said.
    rewrite(bundle, {"format": FORMAT + 1, "something": "new"})
    with pytest.raises(BundleError, match=f"has format {FORMAT + 1}, .* reads up to {FORMAT}"):
        open_bundle(bundle)


def test_format_1_is_read_as_ever(bundle: Path) -> None:
    variant = serialization.to_plain(open_bundle(bundle).manifest.variants[0])
    for name in ("optimized", "unpadded", "weights"):
        del variant[name]
    rewrite(bundle, {"format": 1, "variants": [variant]})
    opened = open_bundle(bundle)
    assert opened.manifest.format == 1
    (found,) = opened.manifest.variants
    assert (found.optimized, found.files) == (False, (found.model,))


@pytest.mark.parametrize("field", ["unpadded", "weights"])
def test_every_file_of_a_variant_is_checked(bundle: Path, field: str) -> None:
    model = open_bundle(bundle).manifest.variants[0].model
    other = bundle / "other.bin"
    other.write_bytes(b"0123456789")
    described = replace(model, file=other.name, bytes=10, sha256=hash_file(other))
    variant = replace(make_variant(model), **{field: described})
    rewrite(bundle, {"variants": [serialization.to_plain(variant)]})
    assert open_bundle(bundle).manifest.variants[0].bytes == model.bytes + 10
    other.write_bytes(b"9876543210")
    with pytest.raises(BundleError, match=r"other.bin does not have the SHA-256"):
        open_bundle(bundle)


@pytest.mark.parametrize("text", ["[]", "3", "{}", '{"format": "1"}', '{"format": null}'])
def test_json_that_is_no_manifest_is_no_bundle(bundle: Path, text: str) -> None:
    (bundle / MANIFEST).write_text(text)
    with pytest.raises(BundleError, match="states no format"):
        open_bundle(bundle)


def test_json_that_is_too_deep_is_damaged(bundle: Path) -> None:
    (bundle / MANIFEST).write_text("[" * 100_000)
    with pytest.raises(BundleError, match="is damaged"):
        open_bundle(bundle)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"task": "poetry"}, "task is 'poetry'; choose one of"),
        ({"labels": "a"}, "labels must be a list"),
        ({"extra": 1}, "extra is unknown"),
        ({"max_length": 1.5}, "max_length must be an integer"),
        ({"variants": []}, "lists no variants"),
        ({"golden": {"texts": [], "logits": []}}, "there are 0 golden texts"),
        ({"golden": {"texts": [[]], "logits": [[1, 2, 3]]}}, "a golden text has 0 parts"),
        ({"golden": {"texts": [["a"]], "logits": []}}, "golden logits are empty or ragged"),
        ({"golden": {"texts": [["a"]], "logits": [[]]}}, "golden logits are empty or ragged"),
        ({"golden": {"texts": [["a"], ["b"]], "logits": [[1, 2, 3], [1]]}}, "or ragged"),
        ({"golden": {"texts": [["a"]], "logits": [[1, 2]]}}, "2 columns for 3 labels"),
        ({"golden": {"texts": [["a"]], "logits": [[1, 2, 1e300]]}}, r"a golden logit is 1e\+300"),
        ({"golden": {"texts": [["a" * 10**6]], "logits": [[1, 2, 3]]}}, "100,000 characters"),
        ({"pad_token_id": 2**63}, "pad_token_id is 9223372036854775808, not 0 to"),
        ({"pad_token_id": -1}, "pad_token_id is -1"),
        ({"max_length": int("7" * 4000)}, "max_length is 7+ … 7+, not 1 to"),
        ({"labels": []}, "there are 0 labels"),
        ({"labels": ["a", "b", "a"]}, "the label 'a' is there twice"),
        ({"labels": ["a", "b", " "]}, "a label is empty"),
        ({"labels": ["a", "b", "\ud800"]}, "there is a lone surrogate in"),
        ({"versions": {"\ud800": "1"}}, "there is a lone surrogate in"),
        ({"task": "intent-slots"}, "there are no labels that begin with 'intent:'"),
        (
            {"task": "question-answering", "pair": True},
            "there are 3 labels, but it does question-answering",
        ),
        ({"task": "fill-mask"}, "there are 3 labels, but it does fill-mask"),
        ({"task": "feature-extraction"}, "pooling is missing"),
        ({"rule": {"temperature": 0}}, "model.rule.temperature is 0"),
        ({"rule": {"problem_type": "regression"}}, "a value has one label, there are 3"),
        ({"rule": {"out_of_scope": "an"}}, "model.rule.out_of_scope is 'an'"),
    ],
)
def test_a_malformed_field_is_named(bundle: Path, change: dict[str, object], message: str) -> None:
    rewrite(bundle, change)
    with pytest.raises(BundleError, match=message) as caught:
        open_bundle(bundle)
    assert len(str(caught.value).removeprefix(str(bundle))) < 300


def test_numbers_of_too_many_digits_are_one_line(bundle: Path) -> None:
    (bundle / MANIFEST).write_text('{"format": ' + "9" * 5000 + "}")
    with pytest.raises(BundleError, match="is damaged"):
        open_bundle(bundle)
    (bundle / MANIFEST).write_text('{"format": ' + "9" * 4000 + "}")
    with pytest.raises(BundleError, match=r"has format 9+ … 9+, this bertedge") as caught:
        open_bundle(bundle)
    assert len(str(caught.value).removeprefix(str(bundle))) < 300


@pytest.mark.parametrize("kind", ["fifo", "device", "outside", "dangling", "huge"])
def test_a_manifest_that_is_no_file_of_the_bundle_is_not_read(
    bundle: Path, tmp_path: Path, kind: str
) -> None:
    manifest = bundle / MANIFEST
    whole = manifest.read_bytes()
    manifest.unlink()
    match kind:
        case "fifo":
            os.mkfifo(manifest)  # reading it would wait for a writer
        case "device":
            manifest.symlink_to("/dev/zero")
        case "outside":
            (tmp_path / "elsewhere.json").write_bytes(whole)
            manifest.symlink_to(tmp_path / "elsewhere.json")
        case "dangling":
            manifest.symlink_to("nowhere.json")
        case "huge":
            manifest.touch()
            os.truncate(manifest, 2**40)
    with pytest.raises(BundleError, match=r"is no plain file inside|has no bertedge|more than 16"):
        open_bundle(bundle)


@pytest.mark.parametrize(
    "name",
    [
        "../parts/cpu-int8.onnx",
        "./cpu-int8.onnx",
        "sub/cpu-int8.onnx",
        "/etc/passwd",
        "..",
        ".",
        "",
        "cpu\0int8.onnx",
    ],
)
def test_a_path_that_leaves_the_bundle_is_refused(bundle: Path, name: str) -> None:
    rename_model(bundle, name)
    with pytest.raises(BundleError, match="which is not a plain file inside the bundle"):
        open_bundle(bundle)


def test_a_link_that_leaves_the_bundle_is_refused(bundle: Path, parts: list[Path]) -> None:
    (bundle / MODEL).unlink()
    (bundle / MODEL).symlink_to(parts[1])
    with pytest.raises(BundleError, match="which is not a plain file inside the bundle"):
        open_bundle(bundle)


def test_a_link_inside_the_bundle_is_followed(bundle: Path) -> None:
    (bundle / MODEL).rename(bundle / "blob")
    (bundle / MODEL).symlink_to("blob")
    open_bundle(bundle)


def test_a_link_to_itself_and_an_endless_name_are_clear_errors(bundle: Path) -> None:
    (bundle / MODEL).unlink()
    (bundle / MODEL).symlink_to(MODEL)
    with pytest.raises(BundleError, match="is missing"):
        open_bundle(bundle)
    (bundle / MODEL).unlink()
    (bundle / MODEL).write_bytes(GRAPH)
    rename_model(bundle, "x" * 5000)
    with pytest.raises(BundleError, match="which is not a plain file inside the bundle"):
        open_bundle(bundle)


@pytest.mark.parametrize("name", [MANIFEST, TOKENIZER, MODEL])
def test_an_unreadable_file_is_a_clear_error(
    bundle: Path, anyones_folder: Path, as_ordinary_user, name: str
) -> None:
    copy = shutil.copytree(bundle, anyones_folder / "bundle")
    (copy / name).chmod(0)

    def read() -> None:
        with pytest.raises(BundleError, match=f"{name}.* cannot be read"):
            open_bundle(copy)

    as_ordinary_user(read)


def test_writing_refuses_an_existing_bundle_without_overwrite(
    bundle: Path, parts: list[Path]
) -> None:
    manifest = open_bundle(bundle).manifest
    manifest = replace(manifest, model=replace(manifest.model, labels=("x", "y", "z")))
    with pytest.raises(OutputError, match="exists already"):
        write_bundle(bundle, manifest, parts, overwrite=False)
    assert open_bundle(bundle).manifest.model.labels == ("an", "aus", "grüßen")
    write_bundle(bundle, manifest, parts, overwrite=True)
    assert open_bundle(bundle).manifest.model.labels == ("x", "y", "z")


def test_what_would_not_open_is_never_written(tmp_path: Path, parts: list[Path]) -> None:
    manifest = make_manifest(*(describe_file(part) for part in parts))
    parts[1].write_bytes(b"changed since it was described")
    with pytest.raises(BundleError):
        write_bundle(tmp_path / "new", manifest, parts, overwrite=False)
    with pytest.raises(BundleError, match="is missing"):
        write_bundle(tmp_path / "new", manifest, parts[:1], overwrite=False)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["parts"]
