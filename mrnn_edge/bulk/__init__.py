"""Many files in, one outcome each out, in order."""
