"""What can go wrong on the way from a checkpoint to a model version."""


class ModelError(Exception):
    """Base of all errors here; its text is one line that names the remedy."""


class CheckpointError(ModelError):
    """The checkpoint or adapter is missing, corrupt, or of a kind that is not supported."""


class HubError(ModelError):
    """The Hugging Face hub did not deliver."""


class DataError(ModelError):
    """A file of questions cannot be read or is not SQuAD."""


class FinetuneError(ModelError):
    """The fine-tuning run cannot begin or go on."""


class ExportError(ModelError):
    """The version could not be made."""
