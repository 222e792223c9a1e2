"""What Gatehouse costs, in numbers: ``make bench`` measures and writes docs/benchmarks.md.

One module per part, each with ``NAME``, ``measure`` and ``chapter``. Measuring keeps every single
value as raw data; the chapters and plots are made from that alone, so that the document can be
written again without measuring. No figure here decides whether a test passes.
"""
