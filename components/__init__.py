"""Gatehouse's rooms, one per noun: vm, host, service, edge; config and placement are shared."""
