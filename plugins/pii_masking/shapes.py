"""Secrets that are known by their shape, as those who issue them document it."""

from __future__ import annotations

import re
from typing import Final

SHAPES: Final = (
    r"eyJ[A-Za-z0-9_-]{10,4000}(?:\.[A-Za-z0-9_-]{0,4000}){1,4}",  # JWS and JWE (RFC 7515 §7.1, RFC 7516 §7.1)
    r"(?:AKIA|ASIA|AROA|AIDA)[A-Z0-9]{16}(?![A-Za-z0-9])",
    r"gh[pousr]_[A-Za-z0-9]{30,255}",
    r"github_pat_[A-Za-z0-9_]{22,255}",
    r"(?:glpat|gldt|glrt|glcbt|glptt|glsoat)-[A-Za-z0-9_.-]{20,300}",
    r"xox[abeoprs]-[A-Za-z0-9-]{10,250}",
    r"xapp-[0-9]-[A-Za-z0-9-]{10,250}",
    r"(?:sk|rk|pk)_(?:live|test)_[A-Za-z0-9]{10,250}",
    r"whsec_[A-Za-z0-9+/=]{16,250}",
    r"(?:SK|AC)[0-9a-f]{32}(?![A-Za-z0-9])",
    r"SG\.[A-Za-z0-9_-]{16,64}\.[A-Za-z0-9_-]{16,64}",
    r"AIza[A-Za-z0-9_-]{35}",
    r"GOCSPX-[A-Za-z0-9_-]{20,64}",
    r"ya29\.[A-Za-z0-9_-]{20,2000}",
    r"sk-[A-Za-z0-9_-]{20,250}",
    r"npm_[A-Za-z0-9]{36}",
    r"pypi-[A-Za-z0-9_-]{16,300}",
    r"hf_[A-Za-z0-9]{30,64}",
    r"hooks\.slack\.com/services/[A-Za-z0-9/]{20,120}",
)
"""Every repetition has a bound and is followed by what it cannot hold, so that time grows with the text alone."""
PEM: Final = r"-----BEGIN [A-Z ]{0,30}PRIVATE KEY-----[A-Za-z0-9+/=\s\\:,.-]{0,20000}"
LITERALS: Final = (
    *("eyJ", "AKIA", "ASIA", "AROA", "AIDA", "ghp_", "gho_", "ghu_", "ghs_", "ghr_", "github_pat_", "glpat-", "gldt-"),
    *("glrt-", "glcbt-", "glptt-", "glsoat-", "xox", "xapp-", "sk_", "rk_", "pk_", "whsec_", "SK", "AC", "SG.", "AIza"),
    *("GOCSPX-", "ya29.", "sk-", "npm_", "pypi-", "hf_", "hooks.slack.com"),
)
"""One of these stands in any text that has such a secret: looked for first, as that is cheap."""
SHAPED: Final = re.compile(r"(?<![A-Za-z0-9])(?:" + "|".join(SHAPES) + ")")
PRIVATE_KEY: Final = re.compile(PEM)
URL_CREDENTIALS: Final = re.compile(r"(?<=://)[^\s/\"'<>]{1,512}(?=@)")
SCHEMES: Final = re.compile(r"(?<![A-Za-z0-9])(?:[Bb]earer|BEARER|[Bb]asic|BASIC)[ +]{1,2}([A-Za-z0-9._~+/=-]{8,4096})")
"""Credentials after their scheme (RFC 9110 §11.4), wherever they are quoted."""
KEYWORD: Final = re.compile(
    r"(?i:key|secret|token|passw|credential|auth)[^\n]{0,24}?(?<![A-Za-z0-9+/_-])([A-Za-z0-9+/_-]{20,256}={0,2})"
)
"""A word that speaks of secrets, and close to it a run that may be one."""
