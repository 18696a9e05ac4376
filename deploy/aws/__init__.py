"""Amazon Web Services: requests are planned first, printed by ``--dry-run``, then sent."""
