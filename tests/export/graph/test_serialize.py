import shutil
from collections.abc import Callable
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnx_ir as ir
import pytest
from onnx import helper

import bertedge
from bertedge.bundle import Variant, describe_file, open_bundle, write_bundle
from bertedge.errors import BundleError, VerificationError
from bertedge.export import ExportReport, Target
from bertedge.export.graph.passes import add_bias_in_products, run_passes
from bertedge.export.graph.serialize import GraphFiles, SavedGraph, check_kept, finish, name_nodes
from bertedge.export.graph.values import count_operators, save
from bertedge.runtime.encoding import Batch
from bertedge.runtime.providers import CPU
from bertedge.runtime.session import Session
from bertedge.runtime.variants import OpenVariant, open_again
from bertedge.spec import Task

KINDS = ("bert", "roberta", "distilbert", "electra")
HEADS = (Task.TEXT_CLASSIFICATION, Task.TOKEN_CLASSIFICATION, Task.QUESTION_ANSWERING)
"""All others have one of these, or tests of their own."""
RECIPES = ("static", "outliers", "outliers-static", "float-nodes")
Ship = Callable[..., GraphFiles]
Bundles = Callable[..., Path]


@pytest.fixture(scope="module")
def ship(fused: Callable[..., Any], tmp_path_factory: pytest.TempPathFactory) -> Ship:
    """Finish (once) the float graph of an architecture and task."""

    @cache
    def make(kind: str, task: Task = Task.TEXT_CLASSIFICATION) -> GraphFiles:
        folder = tmp_path_factory.mktemp("final")
        model = fused(kind, task).copy()
        passes = run_passes(model, pair=False)
        save(model, folder / "cpu-fp32.onnx")
        candidate = SavedGraph(path=folder / "cpu-fp32.onnx", precision="fp32", passes=passes)
        return finish(candidate, folder / "shipped")

    return make


@pytest.fixture(scope="module")
def bundles(exported: Callable[..., ExportReport]) -> Bundles:
    """Export (once) an architecture and task by a recipe."""

    def make(kind: str, task: Task, recipe: str = "dynamic") -> Path:
        return exported(kind, task, quantize=True, recipe=recipe, target=Target.X86_AVX2).output

    return make


def batch(*lengths: int) -> Batch:
    shape = (len(lengths), max(lengths))
    mask = (np.arange(shape[1]) < np.array(lengths)[:, None]).astype(np.int64)
    # Ids from 5 on are no special tokens; padding has the id that RoBERTa's positions look at.
    ids = np.where(mask, np.random.default_rng(1).integers(5, 60, shape), 1)
    return Batch(input_ids=ids, attention_mask=mask, token_type_ids=np.zeros_like(ids))


def open_file(folder: Path, file: Any) -> Session:
    return Session.open(
        folder / file.file,
        threads=1,
        disabled_optimizers=("SkipLayerNormFusion",),
        optimized=True,
    )


@pytest.mark.parametrize("task", HEADS)
@pytest.mark.parametrize("kind", KINDS)
def test_float_graphs_answer_what_the_fused_graph_answers(
    kind: str, task: Task, ship: Ship, fused: Callable[..., Any]
) -> None:
    shipped, source = ship(kind, task), fused(kind, task)
    whole = onnx.load(shipped.folder / shipped.model.file)  # with its weights, from their own file
    assert source.off_by(ir.from_proto(whole)) < 1e-5
    padded, unpadded = (open_file(shipped.folder, f) for f in (shipped.model, shipped.unpadded))
    for texts in (batch(11), batch(9, 9, 9)):
        np.testing.assert_array_equal(unpadded.logits(texts), padded.logits(texts))
    with pytest.raises(BundleError, match="takes no attention_mask"):
        unpadded.logits(batch(9, 4))


@pytest.mark.parametrize("task", HEADS)
@pytest.mark.parametrize("kind", KINDS)
def test_int8_graphs_with_and_without_a_mask_answer_the_same(
    kind: str, task: Task, bundles: Bundles
) -> None:
    compare_graphs(bundles(kind, task))


@pytest.mark.parametrize("recipe", RECIPES)
def test_so_they_do_whatever_the_recipe(recipe: str, bundles: Bundles) -> None:
    compare_graphs(bundles("bert", Task.TEXT_CLASSIFICATION, recipe))


def compare_graphs(bundle: Path) -> None:
    (variant,) = open_bundle(bundle).manifest.variants
    assert variant.optimized
    padded, unpadded = (open_file(bundle, file) for file in (variant.model, variant.unpadded))
    for texts in (batch(1), batch(11), batch(9, 9, 9)):
        np.testing.assert_array_equal(unpadded.logits(texts), padded.logits(texts))
    # The predictor sends each batch to the right one.
    engine = bertedge.load(bundle, device="cpu", threads=1).engine
    for texts in (batch(11), batch(4, 12, 7)):
        np.testing.assert_array_equal(engine.logits(texts), padded.logits(texts))


def test_what_was_fused_stays_fused_and_every_node_has_a_name_of_its_own(
    bundles: Bundles,
) -> None:
    bundle = bundles("bert", Task.TEXT_CLASSIFICATION)
    (variant,) = open_bundle(bundle).manifest.variants
    for file in (variant.model, variant.unpadded):
        assert file is not None
        model = ir.load(bundle / file.file)
        counts = count_operators(model)
        assert (counts["QAttention"], counts["LayerNormalization"]) == (3, 7)
        assert (counts["DynamicQuantizeMatMul"], counts["MatMulInteger"]) == (11, 0)
        assert counts["SkipLayerNormalization"] == 0
        names = [node.name for node in model.graph]
        assert all(names) and len(set(names)) == len(names)


def test_the_products_add_the_bias_of_the_activation_to_the_bit(
    bundles: Bundles, tmp_path: Path
) -> None:
    bundle = bundles("bert", Task.TEXT_CLASSIFICATION)
    (variant,) = open_bundle(bundle).manifest.variants
    model = ir.load(bundle / variant.model.file)
    found = open_file(bundle, variant.model).logits(batch(9, 4))
    assert add_bias_in_products(model) == 0  # done already
    activations = [node for node in model.graph if node.op_type == "Gelu"]
    assert len(activations) == 3
    for node in activations:  # and undone
        product = node.inputs[0].producer()
        node.op_type = "BiasGelu"
        node.resize_inputs(2)
        node.replace_input_with(1, product.inputs[4])
        product.replace_input_with(4, None)
    onnx.save(ir.to_proto(ir.external_data.load_to_model(model)), tmp_path / "undone.onnx")
    undone = Session.open(tmp_path / "undone.onnx", threads=1, optimized=True)
    np.testing.assert_array_equal(undone.logits(batch(9, 4)), found)
    assert add_bias_in_products(model) == 3


def test_the_weights_are_on_disk_once(bundles: Bundles) -> None:
    bundle = bundles("bert", Task.TEXT_CLASSIFICATION)
    (variant,) = open_bundle(bundle).manifest.variants
    assert variant.unpadded is not None and variant.weights is not None
    graphs = [
        onnx.load(bundle / file.file, load_external_data=False)
        for file in (variant.model, variant.unpadded)
    ]
    large = [
        {
            tensor.name: {entry.key: entry.value for entry in tensor.external_data}
            for tensor in graph.graph.initializer
            if tensor.external_data
        }
        for graph in graphs
    ]
    assert large[0] == large[1] != {}
    assert {each["location"] for each in large[0].values()} == {variant.weights.file}
    assert [each.name for each in graphs[1].graph.input] == ["input_ids"]


def test_a_fusion_that_is_undone_is_refused(fused: Callable[..., Any]) -> None:
    before, after = fused("bert").copy(), fused("bert").copy()
    check_kept(before, after)
    next(node for node in after.graph if node.op_type == "Attention").op_type = "Gone"
    with pytest.raises(VerificationError, match=r"made 2 Attention nodes of 3 .*onnxruntime"):
        check_kept(before, after)
    after = fused("bert").copy()
    norm = next(node for node in after.graph if node.op_type == "LayerNormalization")
    norm.op_type = "SkipLayerNormalization"
    with pytest.raises(VerificationError, match="1 SkipLayerNormalization nodes of 0"):
        check_kept(before, after)


def test_a_product_that_stays_in_pieces_is_refused() -> None:
    product = helper.make_node("MatMulInteger", ["a", "b"], ["c"])
    model = ir.from_proto(helper.make_model(helper.make_graph([product], "one", [], [])))
    with pytest.raises(VerificationError, match="0 fused int8 products of 1"):
        check_kept(model, model)


def test_names_that_are_missing_or_taken_twice_are_made_new() -> None:
    nodes = [
        helper.make_node("Add", ["a", "b"], ["c"], name="twice"),
        helper.make_node("Mul", ["a", "b"], ["d"], name="twice"),
        helper.make_node("Sub", ["a", "b"], ["e"]),
        helper.make_node("Div", ["a", "b"], ["f"], name="own"),
    ]
    model = ir.from_proto(helper.make_model(helper.make_graph(nodes, "four", [], [])))
    name_nodes(model)
    assert [node.name for node in model.graph] == ["Add:c", "Mul:d", "Sub:e", "own"]


def test_a_graph_that_opens_later_is_proven_then(bundles: Bundles, tmp_path: Path) -> None:
    bundle = bundles("bert", Task.TEXT_CLASSIFICATION)
    spoiled = with_variant(bundle, tmp_path / "spoiled", spoil)
    predictor = bertedge.load(spoiled, device="cpu", threads=1)
    assert predictor.predict(["no", "no"])[0].truncated is False
    for _ in range(2):
        with pytest.raises(VerificationError, match="does not give its recorded answers"):
            predictor.predict(["no", "very good hotel"])


def test_the_graph_of_single_texts_is_proven_at_load(bundles: Bundles, tmp_path: Path) -> None:
    bundle = bundles("bert", Task.TEXT_CLASSIFICATION)

    def swap(variant: Variant, folder: Path) -> Variant:
        assert variant.unpadded is not None
        return replace(variant, unpadded=spoil_file(folder / variant.unpadded.file))

    with pytest.raises(VerificationError, match="does not give its recorded answers"):
        bertedge.load(with_variant(bundle, tmp_path / "spoiled", swap), device="cpu", threads=1)


def test_a_graph_that_changed_since_the_bundle_was_opened_is_not_used(
    bundles: Bundles, tmp_path: Path
) -> None:
    bundle = tmp_path / "bundle"
    shutil.copytree(bundles("bert", Task.TEXT_CLASSIFICATION), bundle)
    predictor = bertedge.load(bundle, device="cpu", threads=1)
    spoil_file(bundle / predictor.variant.model.file)
    with pytest.raises(BundleError, match=r"the manifest says|does not have the SHA-256"):
        open_bundle(bundle)
    alone = [predictor.predict_one(text) for text in ("no", "very good hotel")]
    assert predictor.predict(["no", "very good hotel"]) == alone  # row by row, without it


def test_the_session_for_one_core_reads_the_same_weights(bundles: Bundles, tmp_path: Path) -> None:
    folder = tmp_path / "bundle"
    shutil.copytree(bundles("bert", Task.TEXT_CLASSIFICATION), folder)
    predictor = bertedge.load(folder, device="cpu", threads=1)
    opened = OpenVariant(
        bundle=open_bundle(folder),
        tokenizer=predictor.tokenizer,
        variant=predictor.variant,
        device=CPU,
        engine=predictor.engine,
    )
    again = open_again(opened)
    assert again is not None
    np.testing.assert_array_equal(again.logits(batch(9, 4)), predictor.engine.logits(batch(9, 4)))
    assert predictor.variant.weights is not None
    (folder / predictor.variant.weights.file).unlink()
    assert open_again(opened) is None


def test_a_program_may_change_its_directory(
    bundles: Bundles, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    bundle = bundles("bert", Task.TEXT_CLASSIFICATION)
    monkeypatch.chdir(bundle.parent)
    predictor = bertedge.load(bundle.name, device="cpu", threads=1)
    monkeypatch.chdir(tmp_path)
    assert len(predictor.predict(["no", "very good hotel"])) == 2


def spoil(variant: Variant, folder: Path) -> Variant:
    return replace(variant, model=spoil_file(folder / variant.model.file))


def spoil_file(path: Path) -> Any:
    model = onnx.load(path, load_external_data=False)
    norm = [node for node in model.graph.node if node.op_type == "LayerNormalization"][-1]
    norm.input[2] = norm.input[1]
    onnx.save(model, path)
    return describe_file(path)


def with_variant(bundle: Path, output: Path, change: Callable[[Variant, Path], Variant]) -> Path:
    """Write a bundle anew, valid by its hashes, with its variant changed."""
    folder = output.with_name("files")
    shutil.copytree(bundle, folder)
    manifest = open_bundle(folder).manifest
    variant = change(manifest.variants[0], folder)
    manifest = replace(manifest, variants=(variant,))
    files = [folder / each.file for each in (manifest.tokenizer, *variant.files)]
    write_bundle(output, manifest, files, overwrite=False)
    return output
