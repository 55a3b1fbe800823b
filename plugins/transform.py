"""Adds, sets, renames and removes members of JSON bodies, on the way to the target and on the way back.

Only what is on the way to a changed member is looked into. All else keeps its bytes: numbers their digits, objects
their order. What is no JSON by its media type passes untouched.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Annotated, Any, Final, Literal

import msgspec
from pydantic import AfterValidator, Field, model_validator

from gateway.errors import ClientError, GatewayError, PayloadTooLarge, Source
from gateway.http import Handler, Message, Request, Response
from gateway.plugin import Context, Plugin, Settings, Size, Stage
from gateway.plugin.settings import expected
from gateway.plugin.template import Value, compile_template

DEEPEST: Final = 32
"""Segments of a pointer."""


class UnusableJson(ClientError):
    """The body says that it is JSON and is not, or is coded so that it cannot be looked into."""

    code, status, title = "unusable_json", 400, "JSON not usable"


class UnusableAnswer(GatewayError):
    """The target's answer should have been changed and cannot be."""

    code, status, title, source = "unusable_answer", 502, "Answer not usable", Source.UPSTREAM


def _pointer(text: str) -> str:
    if not text.startswith("/") or len(text) < 2:
        raise expected("a JSON pointer such as /user/name (RFC 6901), with * for every member")
    if text.count("/") > DEEPEST:
        raise expected(f"a JSON pointer of at most {DEEPEST} segments")
    return text


def _value(value: Any) -> Any:
    if isinstance(value, str):
        compile_template(value)
    return value


Pointer = Annotated[str, AfterValidator(_pointer)]
Member = Annotated[Any, AfterValidator(_value)]


class JsonChanges(Settings):
    """Applied in this order: remove, rename, set, add. `*` as a segment is every member of an object or list."""

    remove: tuple[Pointer, ...] = Field(default=(), description="Members to take out, such as `/user/password`.")
    rename: Mapping[Pointer, str] = Field(
        default={}, description="Members to rename, each with its new name. One of that name already there is replaced."
    )
    set: Mapping[Pointer, Member] = Field(
        default={},
        description="Members to write, replacing what was there. Text may hold placeholders such as `{principal}`; "
        "objects on the way are made.",
    )
    add: Mapping[Pointer, Member] = Field(
        default={}, description="As `set`, of members that are not there; those that are stay."
    )

    @property
    def any(self) -> bool:
        """There is something to do."""
        return bool(self.remove or self.rename or self.set or self.add)


class TransformSettings(Settings):
    """At least one side. Bodies are held to be changed; streams of other media types go on streaming."""

    request: JsonChanges = Field(default=JsonChanges(), description="Changes to what the target gets.")
    response: JsonChanges = Field(
        default=JsonChanges(), description="Changes to what the client gets of the target's answers."
    )
    max_size: Size = Field(
        default=1_000_000, gt=0, le=100_000_000, description="Largest body that is held. For larger ones: `otherwise`."
    )
    otherwise: Literal["refuse", "pass"] = Field(
        default="refuse",
        description="What becomes of JSON that is too large, malformed or compressed. `refuse`: 413 or 400 for a "
        "request, 502 for an answer, so that nothing that was to be removed slips through. `pass`: it goes untouched.",
    )

    @model_validator(mode="after")
    def _does_something(self) -> TransformSettings:
        if not (self.request.any or self.response.any):
            raise ValueError("`request`, `response` or both are needed")
        return self


class Transform(Plugin[TransformSettings]):
    stage = Stage.SHAPE
    refuses = True
    buffers_body = True

    def __init__(self, settings: TransformSettings, context: Context) -> None:
        super().__init__(settings, context)
        self._down = Node(settings.request) if settings.request.any else None
        self._up = Node(settings.response) if settings.response.any else None

    async def __call__(self, request: Request, proceed: Handler) -> Response:
        if self._down is not None and _is_json(request):
            try:
                await self._change(request, request, self._down)
            except (PayloadTooLarge, UnusableJson) as error:
                self._otherwise(error)
        if self._up is None:
            return await proceed(request)
        headers = request.edit_headers()
        # The whole, and readable: what was to be removed could hide in a part or in compressed bytes.
        for name in ("Accept-Encoding", "Range", "If-Range"):
            headers.popall(name, None)
        headers["Accept-Encoding"] = "identity"
        response = await proceed(request)
        if response.error is None and response.tunnel is None and _is_json(response):
            try:
                await self._change(response, request, self._up)
            except (PayloadTooLarge, UnusableJson) as error:
                self._otherwise(UnusableAnswer(reason=error.reason or "the answer is larger than max_size"))
        return response

    def _otherwise(self, error: GatewayError) -> None:
        if self.settings.otherwise == "refuse":
            self.refuse(error)

    async def _change(self, message: Message, request: Request, node: Node) -> None:
        """Raises PayloadTooLarge, UnusableJson."""
        if isinstance(message, Response) and (request.method == "HEAD" or message.status == 304):
            message.edit_headers().popall("Content-Length", None)  # of a body that would be another
            return
        if message.headers.get("Content-Encoding", "identity").lower() not in ("", "identity"):
            raise UnusableJson(reason="the body is compressed")
        data = await message.body.read(self.settings.max_size)
        if not data:
            return
        try:
            data.decode()  # members that are not looked into are not decoded either
            changed = node.apply(data, request)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
            raise UnusableJson("The body is not JSON.", reason=f"malformed JSON: {error}") from None
        if changed is data:
            return
        message.body.replace(changed)
        headers = message.edit_headers()
        for name in ("Content-MD5", "Digest", "Content-Digest", "Repr-Digest"):
            headers.popall(name, None)
        etag = headers.get("ETag", "")
        if etag.startswith('"'):
            headers["ETag"] = f"W/{etag}"  # the target's bytes are no longer what is sent (RFC 9110 §8.8.1)


class Node:
    """What is to be done to one value, and below it by member."""

    __slots__ = ("adds", "below", "everywhere", "removes", "renames", "sets")

    def __init__(self, changes: JsonChanges | None = None) -> None:
        self.below: dict[str, Node] = {}
        self.everywhere: Node | None = None
        self.removes: set[str] = set()
        self.renames: dict[str, str] = {}
        self.sets: dict[str, Value | bytes] = {}
        self.adds: dict[str, Value | bytes] = {}
        if changes is not None:
            for pointer in changes.remove:
                parent, name = self._find(pointer)
                parent.removes.add(name)
            for pointer, new in changes.rename.items():
                parent, name = self._find(pointer)
                parent.renames[name] = new
            for pointer, value in changes.set.items():
                parent, name = self._find(pointer)
                parent.sets[name] = _written(value)
            for pointer, value in changes.add.items():
                parent, name = self._find(pointer)
                parent.adds[name] = _written(value)

    def _find(self, pointer: str) -> tuple[Node, str]:
        """The node of the parent, and the member's name."""
        *way, name = [part.replace("~1", "/").replace("~0", "~") for part in pointer[1:].split("/")]
        node = self
        for part in way:
            if part == "*":
                node.everywhere = node.everywhere or Node()
                node = node.everywhere
            else:
                node = node.below.setdefault(part, Node())
        return node, name

    @property
    def makes(self) -> bool:
        """Something is written here or below, so that an object on the way is made."""
        return bool(self.sets or self.adds or any(node.makes for node in self.below.values()))

    def apply(self, data: bytes, request: Request) -> bytes:
        """The value with its changes; the very same object if there were none. Raises msgspec.DecodeError."""
        kind = data.lstrip(b" \t\r\n")[:1]
        if kind == b"{":
            return self._object(data, request)
        if kind == b"[":
            return self._list(data, request)
        msgspec.json.decode(data)  # whatever it is, it is well-formed
        return data

    def _object(self, data: bytes, request: Request) -> bytes:
        members: dict[str, Any] = msgspec.json.decode(data, type=dict[str, msgspec.Raw])
        before = dict(members)
        for name in list(members) if "*" in self.removes else self.removes:
            members.pop(name, None)
        if self.renames.keys() & members.keys():
            kept = {name: value for name, value in members.items() if name not in self.renames.values()}
            members = {self.renames.get(name, name): value for name, value in kept.items()}
        for name, node in self._inner(members):
            if name in members:
                inner = bytes(members[name])
                changed = node.apply(inner, request)
                if changed is not inner:
                    members[name] = msgspec.Raw(changed)
            elif node.makes:
                members[name] = msgspec.Raw(node.apply(b"{}", request))
        for name, value in self.sets.items():
            members[name] = _filled(value, request)
        for name, value in self.adds.items():
            members.setdefault(name, _filled(value, request))
        if len(before) == len(members) and all(
            before.get(name) is value and old == name
            for (name, value), old in zip(members.items(), before, strict=True)
        ):
            # A name that stands twice was decoded as its last value; the one before may hold what was to be removed.
            written = msgspec.json.encode(members)
            return written if written != data and _names_twice(data) else data
        return msgspec.json.encode(members)

    def _inner(self, members: Mapping[str, Any]) -> list[tuple[str, Node]]:
        everywhere = self.everywhere
        found = [(name, everywhere) for name in members] if everywhere is not None else []
        return [*found, *self.below.items()]

    def _list(self, data: bytes, request: Request) -> bytes:
        members: list[msgspec.Raw] = msgspec.json.decode(data, type=list[msgspec.Raw])
        if "*" in self.removes:
            return b"[]" if members else data
        gone = {int(name) for name in self.removes if name.isdecimal()}
        same = not any(index < len(members) for index in gone)
        made: list[msgspec.Raw] = []
        for index, member in enumerate(members):
            if index in gone:
                continue
            inner = bytes(member)
            for node in filter(None, (self.everywhere, self.below.get(str(index)))):
                changed = node.apply(inner, request)
                same = same and changed is inner
                inner = changed
            made.append(msgspec.Raw(inner))
        return data if same else msgspec.json.encode(made)


class _NamedTwiceError(Exception):
    """Two members of an object have one name."""


def _once(pairs: list[tuple[str, Any]]) -> None:
    if len(dict(pairs)) != len(pairs):
        raise _NamedTwiceError


def _names_twice(data: bytes) -> bool:
    """Whether an object in well-formed JSON has two members of one name (RFC 8259 §4: readers differ)."""
    try:
        json.loads(data, object_pairs_hook=_once, parse_int=str, parse_float=str)
    except _NamedTwiceError:
        return True
    return False


def _written(value: Any) -> Value | bytes:
    """Text as a template, all else as JSON already."""
    return compile_template(value) if isinstance(value, str) else msgspec.json.encode(value)


def _filled(value: Value | bytes, request: Request) -> msgspec.Raw:
    return msgspec.Raw(value if isinstance(value, bytes) else msgspec.json.encode(value(request)))


def _is_json(message: Message) -> bool:
    media = message.headers.get("Content-Type", "").partition(";")[0].strip().lower()
    return media == "application/json" or media.endswith("+json")
