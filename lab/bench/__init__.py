"""What clients notice of a change or a fault: the scenarios of ``make bench-zero-downtime``."""
