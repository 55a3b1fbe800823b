"""The plugins that ship with Sidegate, one module each, named as in YAML."""
