"""The development model server: Ollama's HTTP protocol without a language model or a GPU behind it."""
