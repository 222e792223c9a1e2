"""The shape of a stack config: frozen pydantic models, one module per noun.

Their descriptions become the reference and the editors' schema. Checks across keys are in
``components.config.checks``.
"""
