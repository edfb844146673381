"""A generator of plausible skeleton motion that writes raw files in real formats.

Motion comes from forward kinematics on the 25-joint Kinect v2 skeleton (`body`, `stage`, `gestures`,
`whole_body`, `pairs`), performed by people with bodies and habits of their own (`performer`), seen by
cameras (`camera`) and recorded by a noisy sensor (`sensor`). `motion.clip` gives a single clip as an
array, `write` a whole folder of files.
"""

from skeltools.synth.folder import WRITTEN, Summary, write

__all__ = ["WRITTEN", "Summary", "write"]
