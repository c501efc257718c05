"""Float graphs in, graphs of 8-bit integers out."""
