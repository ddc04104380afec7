import importlib.util
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from bertedge.bundle import open_bundle, write_bundle
from bertedge.runtime.predictor import Predictor
from bertedge.spec import Task

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="session")
def text_bundle() -> Path:
    return ROOT / "models" / "tiny" / "text-classification"


@pytest.fixture(scope="session")
def token_bundle() -> Path:
    return ROOT / "models" / "tiny" / "token-classification"


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
    pytest.importorskip("optimum.exporters.onnx")
    spec = importlib.util.spec_from_file_location("make_tiny", ROOT / "scripts" / "make_tiny.py")
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
