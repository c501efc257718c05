"""`mrnn-edge caption`, and where its captions go."""
