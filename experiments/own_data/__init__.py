"""Settings derived from a user's own images: name, image size and positive class."""
