"""Questions about contexts: what is answered, what that is worth, what is decided."""

import itertools
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np

from bertedge.data import Example, QuestionExample
from bertedge.evaluation.labeller import Labeller, Part
from bertedge.metrics.squad import FOUND, NO_SPAN, Records, decide, exact_match, f1
from bertedge.runtime.decoding import Floats
from bertedge.runtime.encoding import Encoded
from bertedge.runtime.questions import answer_each
from bertedge.runtime.tokenizer import Tokenizer
from bertedge.spec import DecisionRule

CHUNK = 256
"""Questions whose windows `grade_file` holds at a time."""
ANY = DecisionRule()


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """The best answers to questions beside what is right, before anything is decided."""

    found: Records
    """`answers.FOUND`, one a question."""
    truncated: int
    """Questions of which the end was not seen."""


def ask(labeller: Labeller, examples: Sequence[Example]) -> Asked:
    """Run the engine over questions with known answers."""
    questions = [each for each in examples if isinstance(each, QuestionExample)]
    windows = labeller.tokenizer.encode_questions([each.input for each in questions])
    logits = labeller.infer(windows)
    return _grade(questions, windows, logits)


def grade_file(
    tokenizer: Tokenizer, examples: Iterable[Example], logits: Sequence[Floats]
) -> Records:
    """Grade the logits of all windows of a file in turn, which may be padded."""
    parts = []
    iterator = iter(examples)
    place = 0
    while chunk := list(itertools.islice(iterator, CHUNK)):
        questions = [each for each in chunk if isinstance(each, QuestionExample)]
        windows = tokenizer.encode_questions([each.input for each in questions])
        parts.append(_grade(questions, windows, logits[place : place + len(windows)]).found)
        place += len(windows)
    return np.concatenate(parts)


def join(parts: Sequence[Asked]) -> Asked:
    """Put the parts of a file together."""
    return Asked(
        found=np.concatenate([part.found for part in parts]),
        truncated=sum(part.truncated for part in parts),
    )


def decide_questions(asked: Asked, decision: DecisionRule) -> Part:
    """Decide which questions have no answer."""
    spans = decide(asked.found, decision.threshold)
    return Part(gold=[asked.found], predicted=[spans], truncated=asked.truncated)


def _grade(
    questions: Sequence[QuestionExample], windows: Sequence[Encoded], logits: Sequence[Floats]
) -> Asked:
    found = np.zeros(len(questions), FOUND)
    truncated = 0
    answered = answer_each([each.context for each in questions], windows, logits, ANY)
    for number, (question, answers) in enumerate(zip(questions, answered, strict=True)):
        best = answers.answer
        text = best.text if best else ""
        found[number] = (
            *((best.start, best.end) if best else NO_SPAN),
            exact_match(text, question.gold),
            f1(text, question.gold),
            answers.no_answer - (best.score if best else 0.0),
            not question.gold,
        )
        truncated += answers.truncated
    return Asked(found=found, truncated=truncated)
