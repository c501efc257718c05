"""Data sets in, pictures with their sentences out. No torch."""
