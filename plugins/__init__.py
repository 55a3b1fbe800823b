"""The plugins that ship with Sidegate, one module each, named as in YAML."""

BUILT_IN = ("pii_masking",)
"""What every route's logs go through although no file names it, as it is without settings: see `defaults.masking`."""
