"""Checkpoint folders by names and metadata alone: nothing is ever unpickled."""
