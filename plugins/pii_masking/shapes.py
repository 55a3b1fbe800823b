"""Secrets that are known by their shape, as those who issue them document it."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Final

_KEYS: Final = (
    # What it begins with, and the rest. Identity and source control
    ("eyJ", r"[A-Za-z0-9_-]{10,4000}(?:\.[A-Za-z0-9_-]{0,4000}){1,4}"),  # JWS, JWE (RFC 7515 §7.1, RFC 7516 §7.1)
    *((each, r"[A-Z0-9]{16}(?![A-Za-z0-9])") for each in ("AKIA", "ASIA", "AROA", "AIDA", "ABIA", "ACCA")),
    *((f"gh{each}_", r"[A-Za-z0-9]{30,255}") for each in "pousr"),
    ("github_pat_", r"[A-Za-z0-9_]{22,255}"),
    *((f"gl{each}-", r"[A-Za-z0-9_.=-]{20,300}") for each in ("pat", "dt", "rt", "cbt", "ptt", "soat", "ft", "imt")),
    ("glagent-", r"[A-Za-z0-9_-]{50,300}"),
    ("ATATT3", r"[A-Za-z0-9_=-]{60,400}"),
    ("ATBB", r"[A-Za-z0-9]{32}(?![A-Za-z0-9])"),
    # Messages and mail
    *((f"xox{each}", r"[.-][A-Za-z0-9.-]{10,400}") for each in "abceoprs"),
    ("xapp-", r"[0-9]-[A-Za-z0-9-]{10,250}"),
    ("hooks.slack.com/", r"(?:services|workflows|triggers)/[A-Za-z0-9/]{20,160}"),
    ("SG.", r"[A-Za-z0-9_-]{16,64}\.[A-Za-z0-9_-]{16,64}"),
    *((each, r"[0-9a-f]{32}(?![A-Za-z0-9])") for each in ("SK", "AC")),  # Twilio
    ("key-", r"[0-9a-f]{32}(?![A-Za-z0-9])"),  # Mailgun
    ("xkeysib-", r"[0-9a-f]{64}-[A-Za-z0-9]{16}"),
    ("KEY0", r"[0-9A-F]{31}_[A-Za-z0-9]{22}"),  # Telnyx
    # Payment
    *((f"{kind}_{mode}_", r"[A-Za-z0-9]{10,250}") for kind in ("sk", "rk", "pk") for mode in ("live", "test")),
    ("whsec_", r"[A-Za-z0-9+/=]{16,250}"),
    *((each, r"[A-Za-z0-9_-]{20,80}") for each in ("sq0atp-", "sq0csp-")),
    # Clouds and models
    ("AIza", r"[A-Za-z0-9_-]{35}"),
    ("GOCSPX-", r"[A-Za-z0-9_-]{20,64}"),
    ("ya29.", r"[A-Za-z0-9_-]{20,2000}"),
    ("1//0", r"[A-Za-z0-9_-]{30,200}"),  # a refresh token of Google's
    ("sk-", r"[A-Za-z0-9_-]{20,300}"),  # OpenAI, Anthropic and those who took it over
    *((each, r"[A-Za-z0-9_-]{20,300}") for each in ("gsk_", "xai-", "pplx-", "r8_")),
    ("hf_", r"[A-Za-z0-9]{30,64}"),
    *((each, r"[0-9a-f]{64}") for each in ("dop_v1_", "doo_v1_", "dor_v1_")),
    ("dapi", r"[0-9a-f]{32}(?:-[0-9])?(?![A-Za-z0-9])"),
    ("hvs.", r"[A-Za-z0-9_-]{20,300}"),
    ("hvb.", r"[A-Za-z0-9_-]{20,400}"),
    ("HRKU-", r"[A-Za-z0-9_-]{30,80}"),
    *((each, r"[A-Za-z0-9]{20,100}") for each in ("lin_api_", "ntn_", "sbp_", "napi_", "fio-u-", "rnd_")),
    *((each, r"[A-Za-z0-9_.-]{20,200}") for each in ("dp.pt.", "dp.st.", "pscale_tkn_", "pscale_pw_", "sntrys_")),
    ("AGE-SECRET-KEY-1", r"[0-9A-Z]{50,70}"),
    ("ops_eyJ", r"[A-Za-z0-9_-]{100,1000}"),
    # Packages, shops, watching
    ("npm_", r"[A-Za-z0-9]{36}"),
    ("pypi-", r"[A-Za-z0-9_-]{16,300}"),
    ("rubygems_", r"[0-9a-f]{48}"),
    ("dckr_pat_", r"[A-Za-z0-9_-]{20,80}"),
    ("dckr_oat_", r"[A-Za-z0-9_-]{20,80}"),
    ("cio", r"[A-Za-z0-9]{32}(?![A-Za-z0-9])"),  # crates.io
    ("oy2", r"[a-z0-9]{43}(?![A-Za-z0-9])"),  # NuGet
    *((f"shp{each}_", r"[0-9a-fA-F]{32}") for each in ("at", "ca", "pa", "ss")),
    ("glsa_", r"[A-Za-z0-9]{32}_[0-9a-f]{8}"),
    ("glc_", r"[A-Za-z0-9+/]{32,400}={0,2}"),
    ("NRAK-", r"[A-Z0-9]{27}"),
    ("PMAK-", r"[0-9a-f]{24}-[0-9a-f]{34}"),
    ("dt0c01.", r"[A-Z0-9]{24}\.[A-Z0-9]{64}"),
    ("EAA", r"[A-Za-z0-9]{60,300}"),  # Facebook, Square
)
"""Every repetition has a bound and is followed by what it cannot hold, so that time grows with the text alone."""
_UNPREFIXED: Final = (
    ("-us", r"[0-9a-f]{32}-us[0-9]{1,2}(?![A-Za-z0-9])"),  # Mailchimp
    (":AA", r"[0-9]{8,10}:AA[A-Za-z0-9_-]{33}(?![A-Za-z0-9_-])"),  # a bot of Telegram's
)
LITERALS: Final = tuple(dict.fromkeys(["xox", *(begins for begins, _ in _KEYS if not begins.startswith("xox"))]))
"""One of these stands in any text that has such a secret."""
_BEGINS: Final = re.compile("|".join(map(re.escape, LITERALS)))
SHAPED: Final = re.compile("(?<![A-Za-z0-9])(?:" + "|".join(re.escape(begins) + rest for begins, rest in _KEYS) + ")")
UNPREFIXED: Final = tuple((sign, re.compile(rf"(?<![A-Za-z0-9])(?:bot)?({pattern})")) for sign, pattern in _UNPREFIXED)
PEM_BEGIN: Final = re.compile(r"-----BEGIN [A-Z0-9 ]{0,40}PRIVATE KEY(?: BLOCK)?-----")
_PEM_END: Final = re.compile(r"-----END [A-Z0-9 ]{0,40}PRIVATE KEY(?: BLOCK)?-----")
_PEM_BODY: Final = re.compile(r"[A-Za-z0-9+/=\s\\:,.-]{0,20000}")
LONGEST_PEM: Final = 20_000
URL_CREDENTIALS: Final = re.compile(r"(?<=://)[^\s/\"'<>]{1,512}(?=@)")
SCHEMES: Final = re.compile(r"(?<![A-Za-z0-9])(?:[Bb]earer|BEARER|[Bb]asic|BASIC)[ +]{1,2}([A-Za-z0-9._~+/=-]{8,4096})")
"""Credentials after their scheme (RFC 9110 §11.4), wherever they are quoted."""
KEYWORDS: Final = ("secret", "token", "passw", "credential", "bearer", "jwt", "auth", "key")
"""One of these stands in any text that `KEYWORD` fits."""
KEYWORD: Final = re.compile(
    r"(?:(?i:secret|token|passw|credential|bearer|jwt)|(?i:auth)(?!or[^i])|"
    r"(?i:api|access|private|signing|encryption|account|master|shared|ssh|subscription|licen[cs]e)[ _-]?(?i:key)|"
    r"(?<![a-z])(?i:key)(?= (?:is|was) | ?[:=])(?<!y-key))"
    r"[^\n]{0,24}?(?<![A-Za-z0-9+/_-])([A-Za-z0-9+/_-]{20,256}={0,2})"
)
"""A word that speaks of secrets, and close to it a run that may be one."""


def shaped(text: str) -> Iterator[tuple[int, int]]:
    """Where secrets of a known shape stand."""
    if _BEGINS.search(text) is not None:
        yield from (match.span() for match in SHAPED.finditer(text))
    for sign, pattern in UNPREFIXED:
        if sign in text:
            yield from (match.span(1) for match in pattern.finditer(text))


def private_keys(text: str) -> Iterator[tuple[int, int]]:
    """Where private keys in PEM (RFC 7468) stand: to their end, or as far as one goes that was cut."""
    at = 0
    while (begin := PEM_BEGIN.search(text, at)) is not None:
        end = _PEM_END.search(text, begin.end(), begin.end() + LONGEST_PEM)
        if end is None:
            end = _PEM_BODY.match(text, begin.end())
        at = end.end() if end is not None else begin.end()
        yield begin.start(), at
