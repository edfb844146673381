"""Tables of facts that ship with the package; read through `skeltools.datasets.registry`."""
