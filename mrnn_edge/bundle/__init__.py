"""A model folder: found, checked, read part by part, written whole. Knows no runtime."""
