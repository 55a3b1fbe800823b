"""`python -m bench [scenario …]`: runs scenarios, prints tables and bars."""

import argparse
import contextlib
import datetime as dt
import json
import shlex
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from bench import install, interpreter, machine, origin, report, subject
from bench.install import HERE, CannotHave, first_line, program
from bench.load import LoadFailed
from bench.ports import NotReady
from bench.scenario import Rounds, Scenario, Stage, load_all
from bench.subject import SUBJECTS

RESULTS = HERE / "RESULTS.md"


def arguments(scenarios: Sequence[str]) -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m bench", description=__doc__)
    parser.add_argument("scenarios", nargs="*", metavar="scenario", help=f"of: {', '.join(scenarios)}; all by default")
    parser.add_argument("--rounds", type=int, help="rounds, in place of each scenario's own number")
    parser.add_argument("--quick", action="store_true", help="short windows and one round: to see that it works")
    parser.add_argument("--only", default="", help=f"subjects, by comma; of: {', '.join(SUBJECTS)}")
    parser.add_argument("--also", default="", help="subjects beside the scenario's own, say haproxy")
    parser.add_argument(
        "--python",
        type=Path,
        metavar="PATH",
        help="interpreter of the gateway and the plain aiohttp proxy; the fastest here by default",
    )
    parser.add_argument("--json", type=Path, metavar="FILE", help="every figure of every round")
    parser.add_argument("--write", action="store_true", help="put the tables into bench/RESULTS.md")
    parser.add_argument("--strict", action="store_true", help="exit with 1 when a bar is missed or not measured")
    parser.add_argument("--list", action="store_true", help="what there is, and nothing else")
    return parser


def _commit() -> str:
    commit = first_line(["git", "-C", str(HERE), "rev-parse", "--short", "HEAD"])
    dirty = subprocess.run(
        ["git", "-C", str(HERE), "diff", "--quiet", "HEAD", "--", "gateway"], check=False, cwd=HERE.parent
    )
    return commit + ("" if dirty.returncode == 0 else " with changes")


def _versions(names: Sequence[str]) -> dict[str, str]:
    versions: dict[str, str] = {}
    for name in names:
        with contextlib.suppress(CannotHave):
            versions[name] = SUBJECTS[name].version()
    versions["wrk"] = first_line([program("wrk"), "-v"]).removeprefix("wrk ").split(" ")[0]
    versions["h2load"] = first_line([program("h2load"), "--version"]).rpartition("/")[2]
    return versions


@dataclass(slots=True)
class Session:
    """One run of the bench."""

    stage: Stage
    only: frozenset[str]
    also: tuple[str, ...]
    rounds: int | None
    absent: dict[str, str] = field(default_factory=dict)

    def subjects(self, scenario: Scenario) -> list[str]:
        """Who takes part: asked for, installed, and with a configuration for the scenario's variant."""
        names = dict.fromkeys((*scenario.subjects, *(self.also if len(scenario.subjects) > 1 else ())))
        if len(scenario.subjects) > 1:
            names = dict.fromkeys(n for n in names if SUBJECTS[n].config(scenario.variant))
        return [name for name in names if name not in self.absent and (not self.only or name in self.only)]

    def run(self, scenario: Scenario) -> report.Ran:
        """All subjects in turn, round after round. One that fails is left out of the later rounds; the others go on."""
        rounds: dict[str, Rounds] = {name: [] for name in self.subjects(scenario)}
        failures = {name: why for name, why in self.absent.items() if name in scenario.subjects}
        for number in range(self.rounds or scenario.rounds):
            for name in [name for name in rounds if name not in failures]:
                began = time.monotonic()
                try:
                    figures = scenario.measure(self.stage, SUBJECTS[name])
                except (NotReady, LoadFailed, CannotHave, OSError, subprocess.SubprocessError) as error:
                    failures[name] = str(error) or type(error).__name__
                    print(f"  {scenario.name} {name}: {failures[name]}", file=sys.stderr)
                    continue
                rounds[name].append(figures)
                said = "  ".join(f"{key} {value:.4g}" for key, value in figures.items())
                print(
                    f"  {scenario.name} {number + 1} {name:8} {said}  [{time.monotonic() - began:.0f} s]",
                    file=sys.stderr,
                )
        return report.Ran(scenario, {name: done for name, done in rounds.items() if done}, failures, {})


def _stop(*_: object) -> None:
    raise SystemExit(143)


@contextlib.contextmanager
def on_stage(python: Path, *, quick: bool) -> Iterator[Stage]:
    cores = machine.cores()
    machine.raise_open_files()
    with origin.serving(cores.origin) as service:
        yield Stage(service, cores, quick, python)


def chosen_python(asked: Path | None) -> tuple[Path, dict[str, str]]:
    """(Python of an environment made for the fastest interpreter, or the one asked for; facts about it)."""
    best, tried = interpreter.choose(asked, machine.cores().proxy)
    python = interpreter.environment(best)
    subject.run_on(python)
    others = ", ".join(f"{one.version} ({one.shown}) {one.loop:.0f} ms" for one in tried if one is not best)
    return python, {"Python": str(best)} | ({"slower Pythons here": others} if others else {})


def unavailable(names: Sequence[str]) -> dict[str, str]:
    """Subjects that cannot take part, with the reason."""
    found = {}
    for name in names:
        try:
            SUBJECTS[name].version()
        except CannotHave as error:
            found[name] = str(error)
    return found


def main(argv: Sequence[str] | None = None) -> int:
    known = load_all()
    parser = arguments(list(known))
    asked = parser.parse_args(argv)
    chosen = asked.scenarios or list(known)
    only, also = (tuple(name for name in text.split(",") if name) for text in (asked.only, asked.also))
    if wrong := [n for n in chosen if n not in known] + [n for n in (*only, *also) if n not in SUBJECTS]:
        parser.error(f"not known: {', '.join(wrong)}")
    if asked.list:
        for scenario in known.values():
            print(f"{scenario.name:10} {scenario.title}")
        return 0
    signal.signal(signal.SIGTERM, _stop)
    command = shlex.join(["python", "-m", "bench", *(argv if argv is not None else sys.argv[1:])])
    try:
        install.system_packages()
        python, on = chosen_python(asked.python)
    except CannotHave as error:
        print(f"bench: {error}", file=sys.stderr)
        return 2
    wanted = only or tuple(dict.fromkeys(n for name in chosen for n in (*known[name].subjects, *also)))
    absent = unavailable(wanted)
    for name, why in absent.items():
        print(f"bench: without {name}: {why}", file=sys.stderr)
    facts = {"measured": dt.datetime.now(dt.UTC).strftime("%Y-%m-%d %H:%M UTC"), "commit": _commit()} | on
    versions = _versions(wanted)
    ran: list[report.Ran] = []
    try:
        with on_stage(python, quick=asked.quick) as stage:
            session = Session(stage, frozenset(only), also, 1 if asked.quick else asked.rounds, absent)
            for name in chosen:
                if session.subjects(known[name]):
                    one = session.run(known[name])
                    mine = {n: v for n, v in versions.items() if n in {*one.rounds, "wrk", "h2load"}}
                    count = str(max((len(done) for done in one.rounds.values()), default=0))
                    facts_of = facts | {"rounds": count} | machine.describe() | mine | {"command": f"`{command}`"}
                    ran.append(report.Ran(one.scenario, one.rounds, one.failures, facts_of))
                    print(report.section(ran[-1]), flush=True)
    except KeyboardInterrupt:
        print("bench: interrupted", file=sys.stderr)
    return finish(asked, ran, list(known))


def finish(asked: argparse.Namespace, ran: Sequence[report.Ran], order: Sequence[str]) -> int:
    bars = [(one.scenario.name, *row) for one in ran for row in one.bars()]
    if bars:
        rows = [[name, bar, limit, value, report.VERDICT[met].strip("*")] for name, bar, limit, value, met in bars]
        print(report.table([["scenario", "bar", "limit", "measured", ""], *rows], words=2))
    if asked.json:
        found = {one.scenario.name: {"facts": one.facts, "rounds": one.rounds, "failures": one.failures} for one in ran}
        asked.json.write_text(json.dumps(found, indent=1) + "\n")
    if asked.write:
        report.write(RESULTS, {one.scenario.name: report.section(one) for one in ran if one.rounds}, order)
    return 1 if asked.strict and any(met is not True for *_, met in bars) else 0


if __name__ == "__main__":
    raise SystemExit(main())
