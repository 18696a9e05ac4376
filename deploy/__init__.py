"""Where runs go beyond this machine: containers, Spark clusters, cloud services."""
