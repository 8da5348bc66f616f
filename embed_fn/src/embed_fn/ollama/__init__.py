"""Ollama over HTTP."""
