"""Pictures of clips, runs and results, drawn with matplotlib (the extra ``plot``).

Each module draws one kind of picture: a function takes plain data and returns a figure, which
`skeltools.plots.style.save` writes. Animations write themselves (`skeltools.plots.animation`).
"""
