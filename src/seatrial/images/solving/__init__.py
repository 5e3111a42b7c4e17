"""Which versions a set of requests would get on the target, why it gets none, and the nearest set that would."""
