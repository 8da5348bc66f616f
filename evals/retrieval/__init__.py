"""How well a search finds the passage that answers a question, on a labelled set of its own."""
