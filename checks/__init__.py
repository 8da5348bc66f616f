"""What `make check` looks for beside style and types; nothing here needs a network."""
