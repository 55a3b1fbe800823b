"""Print the reference of every key, plugin and error, as Markdown.

  gateway reference | less

It is made from the models, the plugins and the catalogue of errors, so it is that of this very version.
"""

from __future__ import annotations

import argparse

from gateway.config.reference import reference


def define(parser: argparse.ArgumentParser) -> None:
    """Add the arguments, of which there are none."""
    del parser


def run(options: argparse.Namespace) -> int:
    """Print it."""
    del options
    print(reference(), end="")
    return 0
