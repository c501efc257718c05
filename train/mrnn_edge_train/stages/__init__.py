"""What a run does with the network, stage by stage."""
