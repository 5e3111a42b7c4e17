"""Looking at a whole repository: which files matter, what is wrong with them, which answers to hide."""
