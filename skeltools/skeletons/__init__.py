"""Skeletons: joints, bones, parts, mirror pairs and graph."""
