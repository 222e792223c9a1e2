"""The floor of the program's figures: as many resources, and nothing in them."""
