"""From a recording to a clip: settings, steps, bodies, and the named preparations."""
