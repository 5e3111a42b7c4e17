"""What a project asks for, whatever file says it, as wheels for one target."""
