import numpy as np
import pytest

from bertedge.joint_labels import JointLabels, best_labels, has_intents, intent_label, split_labels

LABELS = ("intent:on", "intent:off", "O", "B-room", "I-room")


def test_labels_are_parted_into_intents_and_tags() -> None:
    joint = split_labels(LABELS)
    assert joint == JointLabels(intents=("on", "off"), tags=("O", "B-room", "I-room"))
    assert LABELS[joint.intent_columns] == ("intent:on", "intent:off")
    assert LABELS[joint.tag_columns] == joint.tags
    assert has_intents(LABELS) and not has_intents(joint.tags)


@pytest.mark.parametrize("name", ["O", "B-room", "intent:on", ""])
def test_an_intent_may_be_called_like_a_tag_or_like_our_prefix(name: str) -> None:
    assert split_labels((intent_label(name), "O", "B-room")).intents == (name,)


@pytest.mark.parametrize(
    ("labels", "message"),
    [
        (("O", "B-room"), "there are no labels that begin with 'intent:' among the 2 labels"),
        (("intent:on", "intent:off"), "there are no tags among the 2 labels"),
        (("intent:on", "O", "intent:off"), "the tag 'O' stands before intents"),
        (("intent:on", "intent:on", "O"), "the label 'intent:on' is there twice"),
        (("intent:on", "O", "B-x", "O"), "the label 'O' is there twice"),
    ],
)
def test_labels_that_are_no_two_blocks_are_refused(labels: tuple[str, ...], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        split_labels(labels)


def test_each_token_gets_the_best_of_its_own_block() -> None:
    logits = np.array([[[1, 2, 9, 9, 9], [9, 9, 0, 2, 1], [9, 9, 3, 2, 1]]], np.float32)
    assert best_labels(logits, split_labels(LABELS)).tolist() == [[1, 3, 2]]
