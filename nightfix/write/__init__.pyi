from .atomic import (
    check_target as check_target,
)
from .atomic import (
    make_folder as make_folder,
)
from .atomic import (
    replacing as replacing,
)
from .avif import (
    HDR_COLOR_SPACE as HDR_COLOR_SPACE,
)
from .avif import (
    read_hdr_avif as read_hdr_avif,
)
from .dcp import (
    write_dcp as write_dcp,
)
from .dng import (
    UNKNOWN_CAMERA as UNKNOWN_CAMERA,
)
from .dng import (
    write_dng as write_dng,
)
from .dng_preview import (
    reduce_raw as reduce_raw,
)
from .dng_samples import (
    Compression as Compression,
)
from .formats import (
    FILE_FORMATS as FILE_FORMATS,
)
from .formats import (
    FORMATS as FORMATS,
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
    VIEW_SUFFIXES as VIEW_SUFFIXES,
)
from .viewing import (
    write_view as write_view,
)
from .xmp import (
    record_of_file as record_of_file,
)
