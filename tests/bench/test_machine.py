"""The machine's own accounting."""

import os

import pytest

from bench.machine import describe, parse_core

STAT = "cpu  9 9 9 9 9 9 9 0 0 0\ncpu0 1 1 1 9 9 9 9 0 0 0\ncpu1 100 20 30 900 9 3 4 0 0 0\nintr 1\n"


def test_a_core_counts_its_work_and_not_its_waiting() -> None:
    assert parse_core(STAT, 1) == 157 / os.sysconf("SC_CLK_TCK")


def test_a_core_that_is_not_there_is_an_error() -> None:
    with pytest.raises(ValueError, match="cpu7"):
        parse_core(STAT, 7)


def test_the_machine_is_described() -> None:
    assert {"CPU", "cores", "memory", "kernel"} <= describe().keys()
