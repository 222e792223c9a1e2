"""What all tests share."""

import hypothesis

# No example has a time limit: machines differ, and no timing decides a test.
hypothesis.settings.register_profile("gatehouse", deadline=None)
hypothesis.settings.load_profile("gatehouse")
