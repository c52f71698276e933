"""Classifiers of texts: trained, judged and versioned as tables."""
