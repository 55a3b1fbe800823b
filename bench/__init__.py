"""The bench: Sidegate and its peers on the same work. `python -m bench --list` shows what there is; see README.md."""
