"""An engine's weights: how each is made of the model's, and made anew."""
