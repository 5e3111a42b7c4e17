"""Evidence that an image works: checks on its files and on programs run in it, without Docker."""
