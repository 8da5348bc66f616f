"""Models: what agents ask of them (`port`), which there are (`catalog`), and Ollama's protocol behind both."""
