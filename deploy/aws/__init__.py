"""Amazon Web Services: requests are planned first, shown by ``--dry-run``, then sent."""
