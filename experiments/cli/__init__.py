"""The commands: options, help texts, console output and exit status."""
