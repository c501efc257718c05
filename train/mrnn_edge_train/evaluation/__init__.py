"""Captions in, the figures of papers out. No torch."""
