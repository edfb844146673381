"""What is done to clips on the way to the model: streams, augmentations, part swap."""
