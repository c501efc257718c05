"""What is right and wrong on this machine, as a list of checks (check.py)."""
