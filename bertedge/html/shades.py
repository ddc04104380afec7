"""Colours on a light and on a dark page.

The hues are Okabe and Ito's (2008, "Color Universal Design"), each darkened for a light page and
lightened for a dark one until it stands out from it.
"""

BASELINE = ("#5b6472", "#b3bcc8")
BUNDLE = (
    ("#0062b1", "#58aef5"),
    ("#2c94cf", "#a3dbff"),
    ("#4b4fb8", "#a5a8ff"),
    ("#127f8c", "#55ced9"),
)
PEERS = (
    ("#d55e00", "#ff8b3d"),
    ("#009e73", "#2bc796"),
    ("#b4559a", "#e391c8"),
    ("#b98000", "#f0b429"),
    ("#8c6240", "#c79d78"),
    ("#a11d33", "#ff7186"),
    ("#5e7d0a", "#a9c74a"),
    ("#7b4fc9", "#bb9bff"),
)
SHADES = {
    "page": ("#f7f7f5", "#0f1216"),
    "card": ("#ffffff", "#171b21"),
    "ink": ("#1b2230", "#e9edf3"),
    "muted": ("#5f6979", "#9aa5b4"),
    "line": ("#e3e6ea", "#2b323c"),
    "band": ("#cfd5dd", "#3a434f"),
    "good": ("#00755a", "#35c99f"),
    "bad": ("#b8460e", "#ff9058"),
    "accent": BUNDLE[0],
    **{f"part-{i}": shade for i, shade in enumerate((*BUNDLE[:2], *PEERS[:5]))},
    "other": ("#868f9c", "#79838f"),
}
"""Colours on a light and on a dark page, by the name of their CSS variable."""
