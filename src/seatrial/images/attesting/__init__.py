"""What an image is made of, said in forms that others read, signed, and kept beside the image."""
