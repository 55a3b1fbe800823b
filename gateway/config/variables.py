"""``${VARIABLE}`` in the texts of a configuration."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Final

from gateway.plugin.yaml import Expand

_REFERENCE: Final = re.compile(r"\$\$\{|\$\{([^}]*)\}|\$\{", re.DOTALL)
_INSIDE: Final = re.compile(r"([A-Za-z_][A-Za-z0-9_]*)(?::-(.*))?", re.ASCII | re.DOTALL)


def expander(environ: Mapping[str, str]) -> Expand:
    """Replaces ``${NAME}`` and ``${NAME:-default}``; ``$${`` stands for ``${`` and any other ``$`` for itself.

    As in a shell, the default is taken for a variable that is unset or empty. What is put in is not looked through
    again, and never changes the structure: it is one scalar. Raises LookupError with a sentence that names every
    variable that is missing.
    """

    def expand(text: str) -> tuple[str, tuple[str, ...]]:
        used: list[str] = []
        missing: list[str] = []

        def replace(found: re.Match[str]) -> str:
            if found[0] == "$${":
                return "${"
            inside = None if found[1] is None else _INSIDE.fullmatch(found[1])
            if inside is None:
                raise LookupError("expected ${NAME} or ${NAME:-default}; $${ stands for a plain ${")
            name, default = inside[1], inside[2]
            value = environ.get(name)
            if not value and default is not None:
                return str(default)
            used.append(name)
            if value is None:
                missing.append(name)
                return ""
            return value

        result = _REFERENCE.sub(replace, text)
        if missing:
            several = "variables are" if len(missing) > 1 else "variable is"
            raise LookupError(f"the {several} not set: {', '.join(missing)}; ${{{missing[0]}:-…}} would give a default")
        return result, tuple(used)

    return expand
