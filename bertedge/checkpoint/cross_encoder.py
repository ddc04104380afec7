"""What sentence-transformers says of a cross-encoder: a model that scores pairs of texts."""

from pathlib import Path

from bertedge.checkpoint.files import read_object, shown
from bertedge.errors import CheckpointError, shorten
from bertedge.spec import Activation

SETTINGS = "config_sentence_transformers.json"
_KIND = "CrossEncoder"
_KEY = "activation_fn"
_OLD_KEY = "sbert_ce_default_activation_function"
"""In config.json, of sentence-transformers below 4; 4 and 5 have an object there."""
_OBJECT = "sentence_transformers"


def is_cross_encoder(folder: Path) -> bool:
    """Return whether sentence-transformers saved a cross-encoder in `folder`."""
    config = read_object(folder / "config.json")
    return _OLD_KEY in config or _OBJECT in config or _settings(folder).get("model_type") == _KIND


def read_activation(folder: Path) -> Activation:
    """Read what makes a cross-encoder's logit its score: by default a sigmoid.

    CheckpointError for a function that is not known here.
    """
    config = read_object(folder / "config.json")
    own = config.get(_OBJECT)
    told = (
        _settings(folder).get(_KEY),
        own.get(_KEY) if isinstance(own, dict) else None,
        config.get(_OLD_KEY),
    )
    path = next((each for each in told if each is not None), None)
    if path is None:
        return Activation.SIGMOID
    name = str(path).removeprefix("torch.nn.modules.").removeprefix("torch.nn.")
    kind = name.removeprefix("activation.").removeprefix("linear.").lower()
    if kind not in tuple(Activation):
        raise CheckpointError(
            f"{shown(folder)} asks for the activation {shorten(repr(path), 60)}; "
            f"{', '.join(Activation)} are supported: choose with --activation"
        )
    return Activation(kind)


def _settings(folder: Path) -> dict[str, object]:
    path = folder / SETTINGS
    return read_object(path) if path.exists() else {}
