"""Sidegate's engine: an API gateway that stands in front of services which already exist."""
