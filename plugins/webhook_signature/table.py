"""The table of presets, for the generated reference."""

from __future__ import annotations

from typing import Final

from plugins.webhook_signature.scheme import Scheme, presets

_HEAD: Final = """\
#### Presets

*Known* says how we know that a preset is right. `public_vector`: a signature that the provider published, which a test
verifies. `sdk`: read in its own library, specification or documentation. `secondary`: others' code and prose only; try
it with `mode: shadow` first. *Body* says whether the signature covers it, *event id* where the id stands by which an
event that comes again is known, in parentheses where it is not signed: who copies a request can give
the copy another.

| provider | name | known | source | algorithm | age | body | event id | handshake |
|---|---|---|---|---|---|---|---|---|
"""


def table() -> str:
    """As Markdown, a row for each preset."""
    rows = []
    for name, preset in presets().items():
        age = "not looked at" if preset.tolerance is None or not _timed(preset) else f"{preset.tolerance:.0f} s"
        covered = "yes" if preset.covers_body else "**no**"
        shaken = "answered here" if preset.challenges else "none"
        cells = (
            f"`{name}`", preset.title, preset.known, preset.source, preset.algorithm, age, covered, _id(preset), shaken,
        )  # fmt: skip
        rows.append("| " + " | ".join(str(cell).replace("|", "\\|") for cell in cells) + " |")
    return _HEAD + "\n".join(rows) + "\n"


def _timed(scheme: Scheme) -> bool:
    return scheme.timestamp is not None or scheme.token is not None


def _id(scheme: Scheme) -> str:
    if scheme.event_id is None:
        return "none"
    return f"`{scheme.event_id}`" if scheme.covers_id else f"(`{scheme.event_id}`)"
