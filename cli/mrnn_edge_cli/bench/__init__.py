"""How fast a model is on this machine, as a record that can be compared with an older one."""
