"""Colours, light and dark, told apart by the colour-blind; which engine has which look.

The hues are Okabe and Ito's (2008, "Color Universal Design"), each darkened for a light page and
lightened for a dark one until it stands out from it. No two engines differ by colour alone: they
have markers of their own too.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from bertedge.bench.report import EngineReport


@dataclass(frozen=True, slots=True, kw_only=True)
class Shade:
    """One colour on both kinds of page, `#rrggbb`."""

    light: str
    dark: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Look:
    """How an engine is drawn, everywhere."""

    color: str
    """A name in `SHADES`."""
    marker: str
    """Of matplotlib."""
    strong: bool
    """True for the bundle's variants: the lines that the eye should find first."""


SHADES = {
    "page": Shade(light="#f7f7f5", dark="#0f1216"),
    "card": Shade(light="#ffffff", dark="#171b21"),
    "ink": Shade(light="#1b2230", dark="#e9edf3"),
    "muted": Shade(light="#5f6979", dark="#9aa5b4"),
    "line": Shade(light="#e3e6ea", dark="#2b323c"),
    "band": Shade(light="#cfd5dd", dark="#3a434f"),
    "good": Shade(light="#00755a", dark="#35c99f"),
    "bad": Shade(light="#b8460e", dark="#ff9058"),
    "baseline": Shade(light="#5b6472", dark="#b3bcc8"),
    "bundle-1": Shade(light="#0062b1", dark="#58aef5"),
    "bundle-2": Shade(light="#2c94cf", dark="#a3dbff"),
    "bundle-3": Shade(light="#4b4fb8", dark="#a5a8ff"),
    "bundle-4": Shade(light="#127f8c", dark="#55ced9"),
    "peer-1": Shade(light="#d55e00", dark="#ff8b3d"),
    "peer-2": Shade(light="#009e73", dark="#2bc796"),
    "peer-3": Shade(light="#b4559a", dark="#e391c8"),
    "peer-4": Shade(light="#b98000", dark="#f0b429"),
    "peer-5": Shade(light="#8c6240", dark="#c79d78"),
    "peer-6": Shade(light="#a11d33", dark="#ff7186"),
    "peer-7": Shade(light="#5e7d0a", dark="#a9c74a"),
    "peer-8": Shade(light="#7b4fc9", dark="#bb9bff"),
    "part-1": Shade(light="#0062b1", dark="#58aef5"),
    "part-2": Shade(light="#cf7b00", dark="#f0a52e"),
    "part-3": Shade(light="#009e73", dark="#2bc796"),
    "part-4": Shade(light="#b4559a", dark="#e391c8"),
    "part-5": Shade(light="#3b94cb", dark="#a3dbff"),
    "part-6": Shade(light="#c4500a", dark="#ff8b3d"),
    "part-7": Shade(light="#8c6240", dark="#c79d78"),
    "part-8": Shade(light="#868f9c", dark="#79838f"),
}
"""By the name of their CSS variable; "part" colours pieces of a bar, the last is for the rest."""

PARTS = tuple(name for name in SHADES if name.startswith("part-"))
_BUNDLE = tuple(name for name in SHADES if name.startswith("bundle-"))
_PEER = tuple(name for name in SHADES if name.startswith("peer-"))
_MARKERS = ("o", "s", "^", "D", "v", "P", "X", "p", "<", ">", "h", "*")


def looks(engines: Sequence[EngineReport]) -> dict[str, Look]:
    """Give every engine its look, by name; the bundle's best precision comes first of its own."""
    ours = sorted(
        (engine for engine in engines if engine.kind == "bundle"),
        key=lambda engine: (
            ("int8", "fp16", "bf16", "fp32").index(engine.precision)
            if engine.precision in ("int8", "fp16", "bf16", "fp32")
            else 4
        ),
    )
    bundle = {engine.name: _BUNDLE[i % len(_BUNDLE)] for i, engine in enumerate(ours)}
    peers = [e.name for e in engines if e.name not in bundle and e.baseline is not None]
    peer = {name: _PEER[i % len(_PEER)] for i, name in enumerate(peers)}
    return {
        engine.name: Look(
            color=(bundle | peer).get(engine.name, "baseline"),
            marker=_MARKERS[i % len(_MARKERS)],
            strong=engine.kind == "bundle",
        )
        for i, engine in enumerate(engines)
    }


def variables() -> str:
    """Write the colours as CSS variables: light, and dark where the reader's system is."""
    light = " ".join(f"--{name}: {shade.light};" for name, shade in SHADES.items())
    dark = " ".join(f"--{name}: {shade.dark};" for name, shade in SHADES.items())
    return (
        f":root {{ color-scheme: light dark; {light} }}\n"
        f"@media screen and (prefers-color-scheme: dark) {{ :root {{ {dark} }} }}"
    )
