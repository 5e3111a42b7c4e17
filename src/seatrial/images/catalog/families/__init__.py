"""How each kind of base image says in its tag what is inside; one module for each, each with `read(image)`."""
