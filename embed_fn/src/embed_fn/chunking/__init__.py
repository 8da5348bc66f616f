"""Text with its structure in, passages out."""
