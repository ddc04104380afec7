"""What a constant answer scores, which a model that has learnt something must beat."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Baseline:
    """The scores of the best constant answer on the same examples."""

    answer: str
    """The commonest label, the mean value, or what stands for none."""
    value: float
    """In the metric of the model's own `value`."""
    accuracy: float | None = None
    """By word, where words have tags: most have none of interest."""
    rmse: float | None = None
    """Of the mean value."""
    always: str | None = None
    """What the model itself answers to every example, if that is one answer and it should not be;
    such a model has learnt nothing."""
