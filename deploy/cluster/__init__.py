"""A cluster of several hosts on this one: namespaces, processes, what is known of them."""
