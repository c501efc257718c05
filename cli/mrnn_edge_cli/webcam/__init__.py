"""`mrnn-edge webcam`: command.py parses and joins; every other room is one way out for captions."""
