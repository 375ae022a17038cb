"""Condition: all that the network needs to know about one photo.

What other rooms may use is named, with its types, in ``__init__.pyi``; each name is imported
when it is first used.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
