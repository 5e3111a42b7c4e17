"""From a failed log to its cause, the line that proves it, and what to do."""
