"""The gateway as a client of an authorization server (RFC 6749): who it is, and its calls."""

from __future__ import annotations

import base64
import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final, Literal
from urllib.parse import quote, urlencode

from pydantic import Field, model_validator

from gateway.plugin.settings import Secret, Settings
from gateway.services.client import Client

LARGEST: Final = 256 * 1024
"""Bytes of an answer."""


class OAuthClient(Settings):
    """What the authorization server knows this gateway by."""

    id: str = Field(min_length=1, max_length=512, description="The client's identifier (`client_id`).")
    secret: Secret | None = Field(default=None, description="Its secret; none for a public client.")
    auth: Literal["client_secret_basic", "client_secret_post", "none"] = Field(
        default="client_secret_basic",
        description="How the secret is sent: as Basic credentials, which every server must take, or in the form; "
        "`none` for a public client (RFC 7591 §2 has these names).",
    )

    @model_validator(mode="after")
    def _secret(self) -> OAuthClient:
        if (self.secret is None) != (self.auth == "none"):
            raise ValueError("a `secret`, or `auth: none` for a client that has none")
        return self

    def form(self, fields: Mapping[str, str]) -> tuple[dict[str, str], bytes]:
        """Header fields and body of a call as this client."""
        headers = {"Accept": "application/json", "Content-Type": "application/x-www-form-urlencoded"}
        sent = dict(fields)
        if self.secret is not None and self.auth == "client_secret_basic":
            # Encoded first (RFC 6749 §2.3.1): a colon in the id would end it.
            pair = f"{quote(self.id, safe='')}:{quote(self.secret.get_secret_value(), safe='')}"
            headers["Authorization"] = f"Basic {base64.b64encode(pair.encode()).decode()}"
        else:
            sent["client_id"] = self.id
            if self.secret is not None:
                sent["client_secret"] = self.secret.get_secret_value()
        return headers, urlencode(sent).encode()


@dataclass(frozen=True, slots=True)
class Reply:
    """An authorization server's answer."""

    status: int
    document: Mapping[str, Any]
    """Empty if it was no JSON object."""

    @property
    def error(self) -> str:
        """Its code for what is wrong (RFC 6749 §5.2), as far as it can be shown in a log."""
        code = self.document.get("error")
        return code if isinstance(code, str) and len(code) <= 64 and code.isascii() and code.isprintable() else ""


async def ask(
    http: Client,
    url: str,
    client: OAuthClient,
    fields: Mapping[str, str],
    *,
    timeout: float,  # noqa: ASYNC109 - the deadline of the call as a whole, in seconds
) -> Reply:
    """POST a form as ``client``. Raises what `Client.request` does; any status is a reply."""
    headers, body = client.form(fields)
    answer = await http.request("POST", url, headers=headers, body=body, timeout=timeout, limit=LARGEST)
    try:
        document = json.loads(answer.body)
    except (ValueError, RecursionError):
        document = None
    return Reply(answer.status, document if isinstance(document, dict) else {})
