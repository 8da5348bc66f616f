"""Questions answered with passages: full text and vectors, fused; modes; what they cost."""
