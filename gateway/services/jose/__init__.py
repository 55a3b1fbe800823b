"""Signed tokens (JOSE): taking them apart, the keys that verify them, and issuers that publish these keys."""
