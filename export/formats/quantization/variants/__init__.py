"""The variants of a TFLite file, one a module."""
