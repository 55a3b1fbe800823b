"""Which errors are the same one: of one type, and out of the same of our own functions.

Not by message, which holds what was in the request, and not by line, which moves with every release.
"""

from __future__ import annotations

import hashlib
import re
import sysconfig
from dataclasses import dataclass, field
from traceback import TracebackException
from types import FrameType
from typing import Any, Final

from gateway.services.masking import Masking

INNERMOST: Final = 3
"""Own frames that tell errors of one type apart."""
FRAMES: Final = 40
"""Of a sample, the innermost."""
_CREDENTIALS: Final = re.compile(r"(?i)\b(basic|bearer|digest|negotiate|token) +[A-Za-z0-9._~+/=-]{6,4096}")
_TYPED: Final = re.compile(r"(?m)^((?:[A-Za-z_][\w.]*: ))(.+)$")
_LIBRARY: Final = tuple({sysconfig.get_path("stdlib"), sysconfig.get_path("platstdlib")})
_DEEPEST: Final = 2000


def masked(text: str, masking: Masking, route: str | None) -> str:
    """A text as it may be shown or sent, without credentials in prose: messages quote what they choke on."""
    if not text.isascii():  # bytes that were no UTF-8 (surrogates) cannot be sent
        text = text.encode("utf-8", "replace").decode()
    whole = masking.text(_CREDENTIALS.sub(r"\1 ***", text), route)
    # `KeyError: 'password=…'` reads as a value under the name of the type: what follows a type is a text of its own.
    return _TYPED.sub(lambda found: found[1] + masking.text(found[2], route), whole)


def own_module(frame: FrameType) -> str:
    """The module a frame is of, if that is the gateway's, a plugin's or an operator's own; else nothing."""
    module = str(frame.f_globals.get("__name__", ""))
    if module.partition(".")[0] in ("gateway", "plugins"):
        return module
    file = frame.f_code.co_filename
    foreign = "site-packages" in file or "dist-packages" in file or file.startswith(("<", *_LIBRARY))
    return "" if foreign else module


def fingerprint(error: BaseException) -> tuple[str, str, str]:
    """(group's id, type, innermost own function). Of a group of exceptions, its first one's."""
    while isinstance(error, BaseExceptionGroup) and error.exceptions:
        error = error.exceptions[0]
    kind = type(error)
    name = kind.__qualname__ if kind.__module__ == "builtins" else f"{kind.__module__}.{kind.__qualname__}"
    own: list[str] = []
    last = ""
    trace, depth = error.__traceback__, 0
    while trace is not None and depth < _DEEPEST:
        frame, code = trace.tb_frame, trace.tb_frame.f_code
        last = f"{frame.f_globals.get('__name__', '?')}:{code.co_qualname}"
        if module := own_module(frame):
            place = f"{module}:{code.co_qualname}"
            if not own or own[-1] != place:  # however deep it went into itself
                own.append(place)
        trace, depth = trace.tb_next, depth + 1
    places = own[-INNERMOST:] or [last]
    digest = hashlib.sha256("\n".join([name, *places]).encode()).hexdigest()[:12]
    return digest, name, places[-1]


@dataclass(slots=True)
class Occurrence:
    """One time that it happened, as far as it is kept: no local variables, nothing of the request but its id."""

    trace: TracebackException | None
    text: str
    logger: str
    at: float
    known: dict[str, str] = field(default_factory=dict)
    """Route, ids of request, trace and span: what the line of the log had."""


@dataclass(slots=True)
class Group:
    """Errors that are the same one."""

    id: str
    error: str
    """Type."""
    where: str
    """Function of ours that it came out of."""
    first: float
    """Seconds since the epoch."""
    last: float = 0.0
    count: int = 0
    sample: Occurrence | None = None
    """The latest."""

    def shown(self, masking: Masking) -> dict[str, Any]:
        """As JSON can hold it, masked. Reads source files, so not on the loop."""
        made: dict[str, Any] = {
            "group": self.id,
            "error": self.error,
            "where": self.where,
            "count": self.count,
            "first_seen": round(self.first, 3),
            "last_seen": round(self.last, 3),
        }
        sample = self.sample
        if sample is not None:
            route = sample.known.get("route")
            text = "".join(sample.trace.format()) if sample.trace is not None else sample.text
            # The id of a request may be its client's own.
            known = dict(sample.known)
            if "request_id" in known:
                known["request_id"] = masked(known["request_id"], masking, route)
            made |= {"logger": sample.logger, "sample": masked(text, masking, route), **known}
        return made
