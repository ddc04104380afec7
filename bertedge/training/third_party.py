"""A training run's screen, without the libraries' notes on their own workings."""

import contextlib
import logging
import warnings
from collections.abc import Iterator

import datasets
import transformers


@contextlib.contextmanager
def quiet_libraries() -> Iterator[None]:
    """Keep the libraries' notes on their own workings off the user's screen."""
    datasets.disable_progress_bars()
    datasets.utils.logging.set_verbosity_error()
    transformers.utils.logging.set_verbosity_error()
    transformers.utils.logging.disable_progress_bar()  # transformers 5 has one for weights it saves
    logging.getLogger("torch.distributed").setLevel(logging.ERROR)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield
