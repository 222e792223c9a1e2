"""The load generator: several kinds of client at a constant rate, and a count of every failure.

Complete HTTP clients hide differences that matter here: they retry when a kept connection turns out
to be closed, or fail requests that a graceful GOAWAY lets finish. So it uses the protocol libraries
h11 and h2, and never sends a request twice.
"""
