"""The exception for mistakes in the user's input."""


class UserError(ValueError):
    """A mistake in what the user gave: a file, a flag, a checkpoint.

    Its text is the one sentence a person reads: the place, what was found there, what was expected
    and the remedy. `commands.run` prints it and exits with status 1, without a traceback.
    """
