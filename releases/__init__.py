"""Releases that a load test gates: a tag without traffic, then more and more of it, and back where a check fails."""
