"""Command-line interface: options, help texts, console output and exit status."""
