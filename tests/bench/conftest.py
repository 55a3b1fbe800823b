"""`bench` is no installed package; `python -m pytest` finds it by the working directory, plain `pytest` would not."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))
