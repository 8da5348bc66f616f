"""What agents ask of tools, and ToolService as one that answers."""
