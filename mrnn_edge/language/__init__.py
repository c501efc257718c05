"""Image vectors in, captions, scores and their records out. Knows no pictures and no runtime."""
