"""How the development model reads a request: tables of words and patterns, no language and no learning."""
