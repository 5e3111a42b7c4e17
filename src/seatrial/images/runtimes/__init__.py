"""Ways to run an unpacked image root."""
