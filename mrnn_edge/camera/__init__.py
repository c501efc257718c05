"""Frames in, caption events out, at the speed of a camera, a file or a stream."""
