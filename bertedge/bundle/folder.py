"""Bundles on disk: written atomically, verified before anything parses them."""

import hashlib
import os
import shutil
from dataclasses import dataclass, replace
from pathlib import Path

from bertedge import serialization
from bertedge.bundle.checks import check_manifest, is_plain_name
from bertedge.bundle.graph import check_graph
from bertedge.bundle.manifest import FORMAT, UNHASHED, File, Manifest, Variant
from bertedge.errors import BundleError, shorten
from bertedge.outputs import staged_folder, way_back

MANIFEST = "bertedge.json"
TOKENIZER = "tokenizer.json"
LARGEST_MANIFEST = 2**24
"""Bytes; golden answers for some thousand labels are a tenth of it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Bundle:
    """An opened bundle; every file's hash has been checked."""

    folder: Path
    manifest: Manifest

    def path(self, file: File) -> Path:
        """Where a file of the manifest lies."""
        return self.folder / file.file

    def check(self, variant: Variant) -> None:
        """Check a variant's files again, for what is read later; BundleError as `open_bundle`."""
        for file in variant.files:
            _check_file(self.folder, file)

    def check_graph(self, variant: Variant, file: File) -> None:
        """Check one of a variant's graphs, before onnxruntime parses it; BundleError."""
        check_graph(self.path(file), variant.weights.file if variant.weights else None)

    def check_graphs(self) -> None:
        """Check the graphs of all variants, as `check_graph` does one."""
        for variant in self.manifest.variants:
            for file in filter(None, (variant.model, variant.unpadded)):
                self.check_graph(variant, file)

    def tokenizer_json(self) -> str:
        """The text of `tokenizer.json`."""
        path = self.path(self.manifest.tokenizer)
        try:
            return path.read_text(encoding="utf-8")
        except (OSError, UnicodeDecodeError) as error:
            raise BundleError(f"{path} cannot be read: {shorten(str(error))}") from None

    def variant(self, name: str) -> Variant:
        """The variant called `name`; BundleError names those there are."""
        for variant in self.manifest.variants:
            if variant.name == name:
                return variant
        names = shorten(", ".join(variant.name for variant in self.manifest.variants))
        raise BundleError(f"{self.folder} has no variant {shorten(repr(name))}; it has {names}")


def describe_file(path: Path) -> File:
    """Measure and hash a file that is to become part of a bundle."""
    return File(file=path.name, bytes=path.stat().st_size, sha256=hash_file(path))


def hash_file(path: Path) -> str:
    """SHA-256 of a file's bytes, in hex."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def write_bundle(output: Path, manifest: Manifest, files: list[Path], *, overwrite: bool) -> None:
    """Copy `files` and the manifest into a new bundle at `output`, all or nothing."""
    with staged_folder(output, overwrite=overwrite) as folder:
        for path in files:
            shutil.copyfile(path, folder / path.name)
        raw = serialization.to_json(replace(manifest, manifest_sha256=UNHASHED)).encode()
        digest = hashlib.sha256(raw).hexdigest()
        (folder / MANIFEST).write_bytes(_with_digest(raw, UNHASHED, digest))
        open_bundle(folder).check_graphs()


def open_bundle(folder: Path) -> Bundle:
    """Read the manifest and check every file's name, size and hash.

    Raises BundleError for what is missing, altered, malformed, outside the bundle or newer.
    """
    manifest = _read_manifest(folder)
    bundle = Bundle(folder=folder, manifest=manifest)
    _check_file(folder, manifest.tokenizer)
    for variant in manifest.variants:
        bundle.check(variant)
    return bundle


def _read_manifest(folder: Path) -> Manifest:
    path = folder / MANIFEST
    if not folder.is_dir():
        raise BundleError(
            f"{folder} is not a directory; give the bundle that export wrote{way_back(folder)}"
        )
    try:
        raw = _read_file(path, folder)
        data = serialization.parse_json(raw)
    except FileNotFoundError:
        raise BundleError(f"{folder} is no bundle: it has no {MANIFEST}{_hint(folder)}") from None
    except OSError as error:
        raise BundleError(f"{path} cannot be read: {error.strerror}") from None
    except serialization.RecordError as error:
        raise BundleError(f"{path} is damaged ({error}); export the model again") from None
    number = data.get("format") if isinstance(data, dict) else None
    if not isinstance(number, int):
        raise BundleError(f"{path} states no format; it was not written by bertedge")
    if number > FORMAT:
        raise BundleError(
            f"{path} has format {shorten(str(number), 20)}, this bertedge reads up to {FORMAT}: "
            "upgrade with pip install -U bertedge"
        )
    try:
        manifest = serialization.from_plain(Manifest, data)
        check_manifest(manifest)
    except (serialization.RecordError, RecursionError) as error:
        raise BundleError(f"{path} is damaged: {error}; export the model again") from None
    digest = manifest.manifest_sha256
    if hashlib.sha256(_with_digest(raw, digest, UNHASHED)).hexdigest() != digest:
        raise BundleError(f"{path} was changed after export; copy the bundle again")
    return manifest


def _read_file(path: Path, folder: Path) -> bytes:
    """Read the manifest where it is a file of the bundle, and no longer than one can be."""
    if not _is_inside(path, folder) or (path.exists() and not path.is_file()):
        raise BundleError(f"{path} is no plain file inside the bundle; do not use this bundle")
    with path.open("rb") as file:
        found = file.read(LARGEST_MANIFEST + 1)
    if len(found) > LARGEST_MANIFEST:
        raise BundleError(
            f"{path} has more than {LARGEST_MANIFEST:,} bytes, which no manifest has; "
            "export the model again"
        )
    return found


def _with_digest(raw: bytes, old: str, new: str) -> bytes:
    field = '"manifest_sha256": "{}"'
    return raw.replace(field.format(old).encode(), field.format(new).encode())


def _hint(folder: Path) -> str:
    if (folder / "config.json").exists():
        return f"; it looks like a checkpoint: bertedge export {folder} --output BUNDLE"
    return ""


def _check_file(folder: Path, file: File) -> None:
    path = folder / file.file
    # Not Path.resolve: it raises on links that lead to themselves.
    if not is_plain_name(file.file) or file.file == MANIFEST or not _is_inside(path, folder):
        raise BundleError(
            f"{folder / MANIFEST} names {shorten(repr(file.file))}, which is not a plain file "
            "inside the bundle; do not use this bundle"
        )
    try:
        if not path.is_file():
            raise BundleError(
                f"{path} is missing; copy the whole bundle, or export the model again"
            )
        size = path.stat().st_size
        digest = hash_file(path) if size == file.bytes else None
    except OSError as error:
        raise BundleError(f"{str(path)!r} cannot be read: {error.strerror}") from None
    if digest is None:
        raise BundleError(
            f"{path} has {size:,} bytes, the manifest says {file.bytes:,}: "
            "it was cut short or changed; copy the bundle again"
        )
    if digest != file.sha256:
        raise BundleError(
            f"{path} does not have the SHA-256 that the manifest records "
            f"({file.sha256[:12]}…): it was changed or damaged; copy the bundle again"
        )


def _is_inside(path: Path, folder: Path) -> bool:
    return Path(os.path.realpath(path)).is_relative_to(os.path.realpath(folder))
