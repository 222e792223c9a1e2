"""The load generator: several kinds of client at a constant rate, and a count of every failure.

It is written here because it has to tell apart what whole HTTP clients hide: they ask again by
themselves when a kept connection turns out to be closed, or fail what a graceful GOAWAY lets
finish. The protocols are h11's and h2's; no request is ever sent twice.
"""
