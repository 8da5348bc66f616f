"""The agents: one package each, found by `registry`; what they share is in `context` and `reply`."""
