"""The shape of a stack config: frozen pydantic models, one module per noun.

They say what each key means, in the words that the reference and the editors' schema are made of.
What spans several keys is checked in ``components.config.checks``.
"""
