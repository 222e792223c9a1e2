"""Repair a stack after an interrupted update: ``make recover STACK=prod``.

A killed Pulumi leaves its lock, its plugins, and pending operations in the state (`Note` in the
code). The resources that it was creating may exist, but are not in the state, and Pulumi never
looks for them. This program finds and removes all of that, on any backend, and updates again.

Deliberately, it imports neither the lab nor the program: it uses only the state.
"""
