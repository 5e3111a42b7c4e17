"""What is in an image after each install, as far as it can be known."""
