"""Values that know where they stand."""

from __future__ import annotations

from pathlib import Path

from gateway.plugin.tree import Node, Position, Problem, Severity

HERE = Position("/etc/g.yaml", 3, 7)


def test_a_problem_in_one_line():
    assert (
        str(Problem(HERE, "routes[0].match", "expected a mapping, got 3"))
        == "/etc/g.yaml:3:7: error: routes[0].match: expected a mapping, got 3"
    )
    assert str(Problem(HERE, "", "odd", "even?", Severity.WARNING)) == "/etc/g.yaml:3:7: warning: odd (even?)"


def test_positions_sort_as_a_reader_meets_them():
    assert min(Position("a", 10, 1), Position("a", 9, 5), Position("a", 9, 1)) == Position("a", 9, 1)


def test_steps():
    leaf = Node(1, HERE)
    root = Node({"a": Node([leaf], HERE)}, HERE)
    listed = root.step("a")
    assert listed is not None
    assert listed.step(0) is leaf
    assert (listed.step(1), listed.step(-1), listed.step("0"), leaf.step("x"), root.step("b")) == (None,) * 5


def test_a_step_looks_into_the_document_behind_a_reference():
    inside = Node("x", Position("/etc/d.yaml", 1, 1))
    reference = Node({"file": Node("d.yaml", HERE)}, HERE, document=Node({"key": inside}, inside.position))
    assert reference.step("key") is inside
    assert reference.directory == Path("/etc")
