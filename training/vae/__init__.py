"""Autoencoders: encoders, decoders, posteriors and priors with flows, and their bounds."""
