"""Fine-tunes a BERT for extractive question answering with the standard SQuAD recipe."""
