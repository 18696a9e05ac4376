"""All-reduce training loop shared by the backends that combine gradients at every step."""
