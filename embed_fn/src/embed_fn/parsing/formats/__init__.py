"""One module a format: from a file to its pieces, in order."""
