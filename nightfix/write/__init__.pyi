from .atomic import (
    check_target as check_target,
)
from .atomic import (
    make_folder as make_folder,
)
from .atomic import (
    replacing as replacing,
)
from .dng import (
    write_dng as write_dng,
)
from .dng_samples import (
    Compression as Compression,
)
from .formats import (
    FORMATS as FORMATS,
)
from .formats import (
    TABLE as TABLE,
)
from .formats import (
    Format as Format,
)
from .formats import (
    WriteOptions as WriteOptions,
)
from .formats import (
    write_results as write_results,
)
from .ifd import (
    RATIONAL as RATIONAL,
)
from .ifd import (
    SHORT as SHORT,
)
from .ifd import (
    UNDEFINED as UNDEFINED,
)
from .ifd import (
    ascii_tag as ascii_tag,
)
from .ifd import (
    rational_tag as rational_tag,
)
from .ifd import (
    tag as tag,
)
from .record import (
    Record as Record,
)
from .tiff import (
    Depth as Depth,
)
from .tiff import (
    write_tiff as write_tiff,
)
from .viewing import (
    SHOWN as SHOWN,
)
from .viewing import (
    write_shown as write_shown,
)
from .xmp import (
    record_of_file as record_of_file,
)
