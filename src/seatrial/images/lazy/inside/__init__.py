"""What runs within an image, under its own Python."""
