"""Frames in, caption events out: captions that keep up with a camera, a file or a stream.

address.py parses the name of a source; source.py opens it: capture.py with OpenCV, live.py for the
newest frame of a live source, video.py and pictures.py for every frame of the others. gate.py skips
what has not changed, scene.py captions what has, watch.py is the loop. Knows no captioner.
"""
