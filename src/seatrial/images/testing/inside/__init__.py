"""Programs that run in an image, by its own Python (3.8 or later) and its own packages; nothing here imports Seatrial."""
