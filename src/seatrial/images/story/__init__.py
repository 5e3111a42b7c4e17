"""What a Dockerfile and its dependency files install, in order, stage by stage."""
