"""Video transformer: the network that predicts the flow velocity of a latent clip."""
