"""How fast a model is on this machine, as a record that can be compared with an older one.

Takes a captioner and pictures, gives a record; only command.py knows the command line.
"""
