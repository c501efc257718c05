"""Captions that keep up with a camera, a file or a stream; `Captioner.watch` is the door.

address.py says what a source's name means and hides its passwords; capture.py opens it with OpenCV;
live.py keeps the newest frame of a live one and opens it again when it is lost; video.py,
pictures.py and given.py give every frame of the others. scene.py captions what changed; watch.py
joins the two. Importing any of it imports no cv2.
"""
