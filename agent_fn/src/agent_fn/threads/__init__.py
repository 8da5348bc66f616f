"""Threads: what a run reads and extends. `store` is what the rest knows; `postgres` is loaded behind it."""
