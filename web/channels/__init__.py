"""Messaging platforms: one adapter a file, joined in `registry`."""
