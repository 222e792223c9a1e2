"""The firewall of a VM."""
