"""Plain ASGI middleware: what happens to every request, whichever route it takes."""
