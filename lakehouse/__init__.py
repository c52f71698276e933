"""A data lake for language-model pretraining corpora: what is done to documents, and where they are kept."""
