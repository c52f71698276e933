"""The error of this package."""


class ModelFileError(ValueError):
    """A model's file cannot be used. The message names the file and says what is wrong with it."""
