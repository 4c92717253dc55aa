"""How many examples a run is measured on."""

VALIDATION_EXAMPLES, TEST_EXAMPLES = 512, 4096
"""At every evaluation of the training, which may end it; and at its end."""
