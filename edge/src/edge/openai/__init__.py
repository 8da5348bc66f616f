"""OpenAI's surface: Chat Completions and models."""
