"""Mathematics that training, protocols and pictures share."""
