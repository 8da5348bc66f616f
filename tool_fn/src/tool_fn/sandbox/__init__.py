"""Runs programs of strangers: CPython as WebAssembly, a fresh instance for each."""
