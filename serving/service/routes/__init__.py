"""Routes of the service, by purpose."""
