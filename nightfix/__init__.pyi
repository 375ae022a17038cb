from .batch import Outcome as Outcome
from .batch import Photo as Photo
from .batch import enhance_many as enhance_many
from .batch import find_photos as find_photos
from .condition import Conditioning as Conditioning
from .condition import ExposureTarget as ExposureTarget
from .condition import Settings as Settings
from .condition import condition_raw as condition_raw
from .condition import mend_hot_pixels as mend_hot_pixels
from .develop import develop_raw as develop_raw
from .pipeline import EnhanceOptions as EnhanceOptions
from .pipeline import Result as Result
from .pipeline import enhance as enhance
from .read import RawImage as RawImage
from .read import correct_black as correct_black
from .read import raw_from_array as raw_from_array
from .read import read_raw as read_raw
from .restore import Restorer as Restorer
from .write import WriteOptions as WriteOptions

__version__: str
