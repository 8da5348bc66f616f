"""The tenant's documents, as EmbedService has them."""

from tool_fn.documents.documents import Documents, Passage, Question

__all__ = ["Documents", "Passage", "Question"]
