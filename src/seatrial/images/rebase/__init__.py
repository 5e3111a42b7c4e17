"""Moving an image's own layers onto another base: whether it may be done, and doing it."""
