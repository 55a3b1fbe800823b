"""Settings of `audit`."""

from __future__ import annotations

import re
from typing import Annotated, Any, Final, Literal

from pydantic import AfterValidator, BeforeValidator, Field

from gateway.plugin import Settings
from gateway.plugin.settings import expected
from gateway.plugin.template import compile_template

_METHOD: Final = re.compile(r"[A-Z][A-Z-]{0,31}")
_STATUS: Final = re.compile(r"[1-5](xx|[0-9][0-9])")
_TOKEN: Final = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]{1,128}")
CREDENTIALS: Final = frozenset({"authorization", "proxy-authorization", "cookie", "set-cookie", "x-api-key"})

Outcome = Literal["success", "refused", "failed", "aborted"]


def _method(text: str) -> str:
    if not _METHOD.fullmatch(text):
        raise expected("a method in capitals such as POST")
    return text


def _status(value: Any) -> Any:
    text = str(value) if isinstance(value, int) and not isinstance(value, bool) else value
    if not isinstance(text, str) or not _STATUS.fullmatch(text):
        raise expected("a status such as 403, or a class of them such as 5xx")
    return text


def _template(text: str) -> str:
    compile_template(text)
    return text


def _header(text: str) -> str:
    if not _TOKEN.fullmatch(text) or text.lower() in CREDENTIALS:
        raise expected("the name of a header field that holds no credentials")
    return text


Template = Annotated[str, AfterValidator(_template), Field(max_length=1024)]


class AuditSettings(Settings):
    """By default every request is recorded, however it ends: reading is an access, and so is being refused."""

    methods: tuple[Annotated[str, AfterValidator(_method)], ...] = Field(
        default=(),
        description="Methods that are recorded. Unset: all. `[POST, PUT, PATCH, DELETE]` leaves out those that read.",
    )
    statuses: tuple[Annotated[str, BeforeValidator(_status)], ...] = Field(
        default=(), description="Statuses that are recorded, single or by class: `[2xx, 401, 403]`. Unset: all."
    )
    results: tuple[Outcome, ...] = Field(
        default=(),
        description="Results that are recorded. `refused`: 401, 403, or refused by a plugin or limit of the gateway; "
        "`failed`: any other status from 400 on; `aborted`: the answer was cut short or nobody waited for it; "
        "`success`: the rest. Unset: all.",
    )
    action: Template = Field(
        default="{request.method}",
        description="What was done, as a template: `orders.{path.verb}`. The method by default.",
    )
    resource: Template = Field(
        default="{request.path}",
        description="To which resource, as a template over path parameters and header fields: `order/{path.id}`. "
        "The path without its query by default, as queries hold secrets.",
    )
    claims: tuple[Annotated[str, Field(min_length=1, max_length=256)], ...] = Field(
        default=(),
        max_length=32,
        description="Claims of the principal that are kept, by name or path with dots. None by default: what is not "
        "there need not be erased.",
        examples=[["sub", "realm_access.roles"]],
    )
    headers: tuple[Annotated[str, AfterValidator(_header)], ...] = Field(
        default=(),
        max_length=32,
        description="Header fields of the request that are kept, 256 characters of each. None by default.",
        examples=[["User-Agent", "X-Reason"]],
    )
    wait: bool = Field(
        default=False,
        description="Whether the answer begins only after the record is on the disk; then it cannot tell how many "
        "bytes were sent. An answer that is cut short gets a second record. False: the record follows the exchange, "
        "within `audit.flush`.",
    )
