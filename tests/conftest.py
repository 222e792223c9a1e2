"""Settings of all tests."""

import hypothesis

# No example has a time limit, and a slow machine fails no test: no timing decides one.
hypothesis.settings.register_profile(
    "gatehouse", deadline=None, suppress_health_check=[hypothesis.HealthCheck.too_slow]
)
hypothesis.settings.load_profile("gatehouse")
