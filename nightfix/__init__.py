"""NightFix: clean, sharp pictures from camera RAW taken too dark and not quite still.

The public names are listed, with their types, in ``nightfix/__init__.pyi``; each is imported
when it is first used, so that ``import nightfix`` is quick.

In one call, from file to file::

    nightfix.enhance("photo.ARW", "photo_nightfix.tif")

Step by step, with the photo in memory::

    raw = nightfix.correct_black(nightfix.read_raw("photo.ARW"))
    raw, hot_pixels = nightfix.mend_hot_pixels(raw)
    conditioning = nightfix.condition_raw(raw)
    restored = nightfix.Restorer().restore(raw, conditioning)
    picture = nightfix.develop_raw(restored)

>>> import nightfix
>>> nightfix.__version__.count(".")
2
"""

import lazy_loader

__version__ = "0.1.0"

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
