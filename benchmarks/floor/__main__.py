"""A Pulumi program of empty resources, of the tree that the file SHAPE names.

A list of each one's parent, by its number in the list (-1: the stack), and whether it is a custom
resource rather than a component.
"""

import json
import os
from pathlib import Path

import pulumi

made: list[pulumi.Resource] = []
for number, (parent, custom) in enumerate(json.loads(Path(os.environ["SHAPE"]).read_text())):
    opts = pulumi.ResourceOptions(parent=made[parent]) if parent >= 0 else None
    name = f"empty-{number}"
    if custom:
        made.append(pulumi.CustomResource("empty:index:Empty", name, {}, opts))
    else:
        component = pulumi.ComponentResource("empty:index:Group", name, None, opts)
        component.register_outputs({})
        made.append(component)
