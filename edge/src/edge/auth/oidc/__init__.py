"""Tokens of other issuers (OpenID Connect): verified by the keys that they publish, read as the operator's file says.

Imports nothing: only an edge that has such a file loads the HTTP client.
"""
