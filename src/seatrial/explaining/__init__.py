"""Explanations for people and programs: where logs come from, what confirms a cause, how it is shown."""
