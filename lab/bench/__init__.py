"""Failed and slow requests during changes and faults: ``make bench-zero-downtime``."""
