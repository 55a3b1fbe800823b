"""The harness is documented by examples, and the examples are run."""

import re
import textwrap

import pytest

import gateway.testing
from gateway.testing import origin, running

BLOCKS = re.findall(r"\n\n((?:    .*\n|\n)+)", gateway.testing.__doc__)


def test_the_docstring_has_examples():
    assert len(BLOCKS) == 3


@pytest.mark.parametrize("number", range(len(BLOCKS)))
async def test_an_example_of_the_docstring(number):
    names = {"CONFIG": "upstreams: {a: {targets: ['${TARGET}']}}\nroutes: [{name: all, upstream: a}]"}
    for block in BLOCKS[: number + 1]:  # each goes on from the imports of those before it
        exec(compile(textwrap.dedent(block), "gateway/testing/__init__.py", "exec"), names)
    tests = [value for name, value in names.items() if name.startswith("test_")]
    assert len(tests) == number + 1
    await tests[-1]()


def test_what_is_public_is_there():
    assert all(hasattr(gateway.testing, name) for name in gateway.testing.__all__)
    assert gateway.testing.__all__ == sorted(gateway.testing.__all__)
    assert callable(running) and callable(origin)
