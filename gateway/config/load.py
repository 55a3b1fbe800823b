"""From files to a configuration, or to every mistake in them."""

from __future__ import annotations

import contextlib
import hashlib
import os
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from pydantic import ValidationError
from pydantic_core import to_json

from gateway.config import wording
from gateway.config.check import Finding, Scope, findings, namesake
from gateway.config.dump import dump_masked
from gateway.config.merge import merge
from gateway.config.model import Config
from gateway.config.pem import LARGEST_PEM
from gateway.config.variables import expander
from gateway.config.wording import Step
from gateway.plugin.document import FileState, Reading, file_state, parse, plain, read_limited
from gateway.plugin.settings import identity
from gateway.plugin.tree import Node, Position, Problem, Severity, Tree

MOST_BYTES: Final = 8 * 1024 * 1024
"""Of one configuration file: some 100,000 routes."""


class ConfigurationError(Exception):
    """A configuration that cannot be used. ``problems`` has every mistake found, in the order of the files' lines."""

    def __init__(self, problems: Sequence[Problem]) -> None:
        self.problems = tuple(problems)
        super().__init__("\n".join(str(problem) for problem in self.problems))


@dataclass(frozen=True, slots=True)
class Loaded:
    """A configuration that can be used, and what is to be known about where it came from."""

    config: Config
    problems: tuple[Problem, ...]
    """Warnings."""
    digest: str
    """Short; differs when anything but a secret differs. Fit to be shown in logs and metrics."""
    identity: str
    """Differs when anything differs, secrets included. For comparing; not to be shown."""
    files: tuple[Path, ...]
    """Every file that was read, those named by ``{file: …}`` and TLS files too: what a watcher watches."""
    states: tuple[FileState, ...]
    """How each of them stood before it was read: what has changed since was not seen."""
    root: Node = field(repr=False)

    def locate(self, path: Sequence[Step]) -> Position:
        """Where the value of a path such as ``("routes", 0, "match")`` stands."""
        return wording.place(self.root, path)

    def problem(
        self, path: Sequence[Step], message: str, *, hint: str = "", severity: Severity = Severity.ERROR
    ) -> Problem:
        """A problem that a layer above found, such as a route that can never be reached."""
        return Problem(self.locate(path), wording.path_text(path), message, hint, severity)


Review = Callable[[Config, Sequence[int]], Iterable[Finding]]
"""What a layer above finds wrong with a configuration. The numbers say where in the files each route stands: what is
wrong in itself is left out, so that the rest is still reviewed."""


def load(
    paths: Sequence[Path | str], environ: Mapping[str, str] | None = None, *, review: Review | None = None
) -> Loaded:
    """Read, merge in order and check configuration files.

    ``environ`` gives the variables, by default those of the process. ``review`` adds its findings to the problems.
    Raises ConfigurationError with all mistakes.
    """
    places = [Path(path) for path in paths]
    expand = expander(os.environ if environ is None else environ)
    states = {path: file_state(path) for path in places}
    trees = [_read(path, expand) for path in places]
    return _finish(trees, states, review)


def load_text(
    text: str,
    environ: Mapping[str, str] | None = None,
    *,
    name: str = "gateway.yaml",
    review: Review | None = None,
) -> Loaded:
    """As `load`, of one text; ``name`` stands in positions, and its directory is where relative paths begin."""
    expand = expander(os.environ if environ is None else environ)
    return _finish([parse(text.encode("utf-8", "surrogatepass"), name, expand)], {}, review)


def _read(path: Path, expand: Any) -> Tree:
    try:
        content = read_limited(path, MOST_BYTES)
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
        position = Position(str(path), 1, 1)
        return Tree(Node(None, position), [Problem(position, "", f"cannot read it: {reason}")], complete=False)
    return parse(content, str(path), expand)


def _finish(trees: Sequence[Tree], states: dict[Path, FileState], review: Review | None) -> Loaded:
    problems = [problem for tree in trees for problem in tree.problems]
    problems += [
        Problem(tree.root.position, "", "expected keys such as `upstreams:` and `routes:`")
        for tree in trees
        if _no_mapping(tree)
    ]
    if not trees or not all(tree.complete for tree in trees) or any(_no_mapping(tree) for tree in trees):
        raise ConfigurationError(_sorted(problems))
    root = trees[0].root if isinstance(trees[0].root.value, dict) else Node({}, trees[0].root.position)
    for tree in trees[1:]:
        if isinstance(tree.root.value, dict):
            root = merge(root, tree.root)
    return _validate(root, problems, states, review)


def _no_mapping(tree: Tree) -> bool:
    return tree.root.value is not None and not isinstance(tree.root.value, dict)


def _validate(root: Node, problems: list[Problem], states: dict[Path, FileState], review: Review | None) -> Loaded:
    reading = Reading(root.directory)
    raw = _given(root, reading)
    config: Config | None = None
    try:
        config = Config.model_validate(raw, context=reading)
    except ValidationError as error:
        problems += wording.problems(error, root, raw, reading)
        partial, scope = _partial(raw, error, root)
    else:
        partial, scope = config, Scope.whole(config)
    if partial is not None:
        found = [*findings(partial, scope), *_namesakes(raw, scope)]
        if review is not None:
            found += review(partial, scope.routes)
        gaps = wording.unset(root)
        problems += [_located(finding, root) for finding in found if not (gaps and _follows(finding, root))]
    problems = _sorted(problems)
    if config is None or any(problem.severity is Severity.ERROR for problem in problems):
        raise ConfigurationError(problems)
    digest = hashlib.sha256(to_json(dump_masked(config))).hexdigest()[:12]
    contents = {**reading.files, **_certificates(config, reading)}
    parts = [f"{path}={hashlib.sha256(content).hexdigest()}" for path, content in sorted(contents.items())]
    return Loaded(
        config=config,
        problems=tuple(problems),
        digest=digest,
        identity=hashlib.sha256("\0".join([identity(config), *parts]).encode()).hexdigest(),
        files=(*states, *contents),
        states=(*states.values(), *map(reading.states.__getitem__, contents)),
        root=root,
    )


def _certificates(config: Config, reading: Reading) -> dict[Path, bytes]:
    """TLS files: a new certificate under an old name is a change, too."""
    tls = [listener.tls for listener in (*config.listeners, *([config.admin] if config.admin else ()))]
    paths = [path for one in tls if one is not None for path in (one.cert, one.key, one.client_ca)]
    paths += [path for one in config.upstreams.values() for path in (one.tls.ca, one.tls.cert, one.tls.key)]
    told = [sink.tls for sink in (*config.access_log.to, *config.log.to)]
    told += [config.tracing.tls] if config.tracing is not None else []
    paths += [path for one in told for path in one.files]
    found: dict[Path, bytes] = {}
    for path in paths:
        with contextlib.suppress(OSError, ValueError):  # that they can be read was checked just now
            if path is not None:
                reading.states[path] = file_state(path)
                found[path] = read_limited(path, LARGEST_PEM, regular=True)
    return found


def _given(root: Node, reading: Reading) -> dict[str, Any]:
    """What stands in the files, but for the operator's own keys and sections whose lines are all comments."""
    assert isinstance(root.value, dict)
    return {
        key: plain(node, reading)
        for key, node in root.value.items()
        if not key.startswith("x-") and (node.value is not None or node.variables)
    }


def _namesakes(raw: dict[str, Any], scope: Scope) -> Iterator[Finding]:
    """Routes of one name of which some are wrong in themselves, so that `findings` does not see them."""
    routes = raw.get("routes")
    seen: dict[str, int] = {}
    for place, route in enumerate(routes if isinstance(routes, list) and not scope.complete else ()):
        name = route.get("name") if isinstance(route, dict) else None
        if not isinstance(name, str):
            continue
        if name in seen and not {place, seen[name]} <= set(scope.routes):
            yield namesake(name, place)
        seen.setdefault(name, place)


def _follows(finding: Finding, root: Node) -> bool:
    """Whether it may only be there because a variable is not set: what is said of the mapping in which one stands, and
    that nobody uses an upstream.
    """
    if finding.severity is Severity.WARNING and finding.of_key and finding.path[:1] == ("upstreams",):
        return True
    _, node, parent = wording.find(root, finding.path)
    beside = parent.value.values() if parent is not None and isinstance(parent.value, dict) else ()
    return wording.unset(node) or any(each.variables == ("?",) for each in beside)


def _located(finding: Finding, root: Node) -> Problem:
    position = wording.place(root, finding.path, of_key=finding.of_key)
    # Where a short form was written the model has steps that the file has not.
    real, _, _ = wording.find(root, finding.path)
    path = real if finding.path[0] in ("access_log", "log") else finding.path
    return Problem(position, wording.path_text(path), finding.message, finding.hint, finding.severity)


def _sorted(problems: Sequence[Problem]) -> list[Problem]:
    return sorted(dict.fromkeys(problems), key=lambda problem: problem.position)


def _partial(raw: dict[str, Any], error: ValidationError, root: Node) -> tuple[Config | None, Scope]:
    """The configuration without what is wrong in it, so that what can be checked is checked in the same run."""
    whole_routes = raw.get("routes")
    routes = list(range(len(whole_routes))) if isinstance(whole_routes, list) else []
    upstreams = raw.get("upstreams")
    scope = Scope(routes, frozenset(upstreams) if isinstance(upstreams, dict) else frozenset(), complete=False)
    left = dict(raw)
    for _ in range(3):
        left = _without(left, scope.routes, error)
        try:
            return Config.model_validate(left, context=Reading(root.directory)), scope
        except ValidationError as again:
            error = again
    return None, scope


def _without(raw: dict[str, Any], routes: list[int], error: ValidationError) -> dict[str, Any]:
    left = dict(raw)
    dropped: set[int] = set()
    for detail in error.errors(include_url=False, include_input=False, include_context=False):
        match detail["loc"]:
            case ("routes", int(index), *_) if index < len(routes):
                dropped.add(index)
            case ("upstreams", str(name), *_) if isinstance(left.get("upstreams"), dict):
                left["upstreams"] = {key: item for key, item in left["upstreams"].items() if key != name}
            case (key, *_):
                left.pop(str(key), None)
            case _:
                pass
    if dropped and isinstance(left.get("routes"), list):
        left["routes"] = [route for index, route in enumerate(left["routes"]) if index not in dropped]
        routes[:] = [place for index, place in enumerate(routes) if index not in dropped]
    return left
