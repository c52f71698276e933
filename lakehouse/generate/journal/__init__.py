"""The journal: every call to a model, each kept the moment it ends, none ever made twice."""
