"""Data that exists only on a VM: what there is, and what an update would delete of it."""
