"""A folder of pictures in, an index file out, which a sentence searches."""
