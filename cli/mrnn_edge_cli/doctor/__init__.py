"""What is right and wrong on this machine, as a list of checks (examine.py).

Takes a model and a device, gives checks; changes nothing, and never raises for what it finds.
"""
