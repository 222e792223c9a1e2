"""What all tests share."""

# Imported before any test runs: left to pytest's last hook, it is parsed after the SDK has nested
# event loops, and Python 3.11 then fails with "AST constructor recursion depth mismatch".
import hypothesis

# No example has a time limit: machines differ, and no timing decides a test.
hypothesis.settings.register_profile("gatehouse", deadline=None)
hypothesis.settings.load_profile("gatehouse")
