"""Proof that every artefact of a bundle answers as the trained model does."""
