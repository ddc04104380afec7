"""`bertedge inspect`."""

from pathlib import Path
from typing import TYPE_CHECKING

import click

from bertedge.cli import options
from bertedge.spec import Task

if TYPE_CHECKING:
    from bertedge.bundle import Bundle, Trimming, Variant
    from bertedge.spec import DecisionRule, Pooling, Task

MOST_LABELS = 12


@click.command(short_help="Show what a bundle is, and what was measured of it.")
@click.argument("bundle", type=click.Path(path_type=Path))
@options.json_option
def command(bundle: Path, as_json: bool) -> None:
    """Verify the hash of every file in BUNDLE and show its manifest.

    "batches" is what this machine would do with a long input; it is not in --json, which is the
    manifest alone.

    \b
    bertedge inspect bundles/home-intents
    """
    from bertedge import serialization
    from bertedge.bundle import open_bundle
    from bertedge.cli.console import say_next, show, show_json
    from bertedge.cli.next_step import after_export

    opened = open_bundle(bundle)
    opened.check_graphs()
    if as_json:
        show_json(serialization.to_json(opened.manifest))
    else:
        show(_describe(opened))
        manifest = opened.manifest
        say_next(after_export(str(bundle), manifest.model.task, pair=manifest.model.pair))


def _describe(bundle: "Bundle") -> str:
    manifest = bundle.manifest
    source = manifest.source
    files = [manifest.tokenizer, *(file for variant in manifest.variants for file in variant.files)]
    kind = "pairs of texts" if manifest.model.pair else "single texts"
    if manifest.model.task is Task.QUESTION_ANSWERING:
        kind = "questions and windows of contexts"
    made = ", ".join(f"{name} {version}" for name, version in manifest.versions.items())
    facts = {
        "task": manifest.model.task.value + _heads(manifest.model.task, manifest.model.labels),
        "decides": _decision(manifest.model.rule, manifest.model.task),
        "pools" if manifest.model.labels else "embeds": _pooling(manifest.model.pooling),
        "reads": f"{kind} of up to {manifest.model.max_length} tokens",
        "trimmed": _trimming(manifest.trimming),
        "made from": f"{source.name} ({source.architecture}, {source.layers} layers, hidden size "
        f"{source.hidden_size}, {source.heads} heads, vocabulary {source.vocabulary:,}, "
        f"{source.parameters:,} parameters)",
        "weights": f"SHA-256 {source.sha256}",
        "made by": f"{made}; {manifest.created}",
        "verified": f"SHA-256 of the manifest and {len(files)} files, "
        f"{_size(sum(file.bytes for file in files))}",
        "at load": f"{len(manifest.golden.texts)} golden inputs are run again",
    }
    told = {name: fact for name, fact in facts.items() if fact}
    lines = [str(bundle.folder), *(f"  {name:<10} {fact}" for name, fact in told.items())]
    for variant in manifest.variants:
        lines += ["", *_describe_variant(variant)]
    return "\n".join(lines)


def _describe_variant(variant: "Variant") -> list[str]:
    from bertedge.cli.scores import render_agreement, render_batch_effect, render_change
    from bertedge.runtime import machine
    from bertedge.runtime.providers import first_device

    parity, accuracy = variant.parity, variant.accuracy
    bound = "" if parity.tolerance is None else f" (allowed: {parity.tolerance:.2g})"
    facts = {
        "file": f"{variant.model.file}, {_size(variant.bytes)}, {variant.precision}",
        "runs on": ", ".join(variant.providers),
        "graph": ", ".join(f"{each.name} x{each.nodes}" for each in variant.passes)
        or "as exported",
        "parity": f"logits differ from the checkpoint's by {parity.max_difference:.2g} of their "
        f"spread at most{bound}, on {parity.texts} texts",
        "accuracy": "not measured (export with --eval-data)",
        "golden": f"may differ by {variant.golden_tolerance:.2g} of the spread",
    }
    if variant.checked_on is not None:
        facts["checked on"] = variant.checked_on
    if accuracy is not None:
        facts["accuracy"] = (
            f"{render_change(accuracy)}, agreement {render_agreement(accuracy)}, "
            f"{accuracy.data}, {accuracy.rows:,} rows"
        )
    if variant.batch_effect is not None:
        facts["batching"] = render_batch_effect(variant.batch_effect)
    if device := first_device(variant.providers):
        at_once = 1 if device.one_run_at_a_time else machine.threads()
        facts["batches"] = f"{device.token_budget:,} tokens, {at_once} at a time"
    return [f"variant {variant.name}", *(f"  {name:<10} {fact}" for name, fact in facts.items())]


def _decision(decision: "DecisionRule", task: Task) -> str:
    """Return what of the decision rule is not the default."""
    from bertedge.spec import Activation, DecisionRule

    if decision == DecisionRule():
        return ""
    if task is Task.QUESTION_ANSWERING:
        return (
            f"there is no answer where that scores {decision.threshold:.4g} above the best answer"
        )
    facts = [decision.problem_type.value]
    if decision.activation is not Activation.IDENTITY:
        facts.append(f"the {decision.activation} of the logit")
    if decision.temperature != 1:
        facts.append(f"temperature {decision.temperature:.4g}")
    if decision.threshold is not None:
        below = f", else {decision.out_of_scope!r}" if decision.out_of_scope else ""
        facts.append(f"a label needs a score of {decision.threshold:.4g}{below}")
    return ", ".join(facts)


def _trimming(trimming: "Trimming | None") -> str:
    from bertedge.cli.scores import render_agreement, render_change

    if trimming is None:
        return ""
    kept = f"{trimming.after:,} of {trimming.before:,} word pieces, those of {trimming.data}"
    if trimming.accuracy is None:
        return kept
    cost = f"{render_change(trimming.accuracy)}, agreement {render_agreement(trimming.accuracy)}"
    return f"{kept}: {cost}"


def _pooling(pooling: "Pooling | None") -> str:
    if pooling is None:
        return ""
    modes = {
        "mean": "the mean of its tokens",
        "cls": "[CLS]",
        "max": "the maximum of its tokens",
        "mean_sqrt_len_tokens": "the sum of its tokens by the root of their count",
    }
    of = modes[pooling.mode.value]
    layers = [f", {each.inputs} to {each.size} ({each.activation})" for each in pooling.dense]
    return f"{of}{''.join(layers)}{', normalized' if pooling.normalized else ''}"


def _heads(task: "Task", labels: tuple[str, ...]) -> str:
    from bertedge.joint_labels import split_labels
    from bertedge.spec import Task

    if task is not Task.INTENT_SLOTS:
        return _labels(labels, "labels") if task.fixed_labels is None else ""
    joint = split_labels(labels)
    return _labels(joint.intents, "intents") + _labels(joint.tags, "slot tags")


def _labels(labels: tuple[str, ...], what: str) -> str:
    if not labels:
        return ""
    more = f", … ({len(labels) - MOST_LABELS} more)" if len(labels) > MOST_LABELS else ""
    return f", {len(labels)} {what}: {', '.join(labels[:MOST_LABELS])}{more}"


def _size(count: int) -> str:
    return f"{count / 1e6:.1f} MB" if count >= 1e6 else f"{count / 1e3:.1f} kB"
