"""All errors of this package, and those of libraries in one line."""


def first_line(error: Exception) -> str:
    """The first line of what a library says; the others are advice for programmers."""
    return str(error).partition("\n")[0] or type(error).__name__


class ModelError(Exception):
    """The base of all errors; the message is one line and names the remedy."""


class CheckpointError(ModelError):
    """The checkpoint or adapter is missing, corrupt or not supported."""


class HubError(ModelError):
    """The Hugging Face hub cannot be reached, or lacks the repository."""


class DataError(ModelError):
    """A file of questions cannot be read, or its questions cannot be used."""


class FinetuneError(ModelError):
    """The fine-tuning run cannot start or continue."""


class ExportError(ModelError):
    """The version cannot be made."""


class VersionError(ModelError):
    """The version cannot be withdrawn, brought back or promoted."""
