"""Which route takes a request, and what its path, host and upstream become. Pure: no I/O, nothing of the server."""

from gateway.http.path import STRICT, PathPolicy, comparable, normalize
from gateway.route.explain import Verdict, explain, unreachable
from gateway.route.pattern import path_test
from gateway.route.redirect import Locator, compile_redirect
from gateway.route.rewrite import Parameters, Rewriter, compile_rewrite
from gateway.route.split import Asking, Chooser, compile_split
from gateway.route.table import Found, NotAllowed, RouteTable, policy_of

__all__ = [
    "STRICT",
    "Asking",
    "Chooser",
    "Found",
    "Locator",
    "NotAllowed",
    "Parameters",
    "PathPolicy",
    "Rewriter",
    "RouteTable",
    "Verdict",
    "comparable",
    "compile_redirect",
    "compile_rewrite",
    "compile_split",
    "explain",
    "normalize",
    "path_test",
    "policy_of",
    "unreachable",
]
