"""Data that exists only on VMs, and the data that an update would delete."""
