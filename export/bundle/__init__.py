"""What export makes of a run: artefacts, a manifest, checksums, a model card and the proof."""
