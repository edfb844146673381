"""Backbones, mask, heads and the SkeAttnCLR model."""
