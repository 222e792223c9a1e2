"""Types of arguments that the programs' command lines share."""

import argparse
import math


def seconds(text: str) -> float:
    """Return a duration in seconds.

    Raises:
        argparse.ArgumentTypeError: It is not a finite number, or it is negative.
    """
    try:
        found = float(text)
    except ValueError:
        found = math.nan
    if not 0 <= found < math.inf:
        raise argparse.ArgumentTypeError(f"must be a number of seconds (got {text!r})")
    return found
