"""Fine-tuning a BERT for extractive question answering, after the standard SQuAD recipe."""
