"""Ollama's HTTP protocol: `client` speaks it, `requests` and `responses` say what travels."""
