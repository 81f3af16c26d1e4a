"""Pictures of a model: what it is, what it draws, and where it puts rows in latent space."""
