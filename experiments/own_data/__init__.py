"""Settings that follow a user's own images: name, image size, positive class."""
