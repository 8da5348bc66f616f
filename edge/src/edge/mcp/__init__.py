"""MCP: the platform's tools for clients that speak the Model Context Protocol (streamable HTTP)."""
