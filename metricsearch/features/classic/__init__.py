"""Global features that need no learning: colour, texture, gradients, shape, layout."""
