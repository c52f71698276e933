"""The error of this stage."""


class TrainingError(ValueError):
    """A model cannot be trained. The message names the file, the class or the setting, and says what to do."""
