"""DivergedError: what ends a training whose numbers are none any more."""


class DivergedError(ArithmeticError):
    """The loss or the weights are not finite any more."""
