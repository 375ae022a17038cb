from .arrays import (
    raw_from_array as raw_from_array,
)
from .bayer import (
    CFA_PATTERNS as CFA_PATTERNS,
)
from .bayer import (
    CfaPattern as CfaPattern,
)
from .bayer import (
    pack_bayer as pack_bayer,
)
from .bayer import (
    phase as phase,
)
from .bayer import (
    shift_pattern as shift_pattern,
)
from .bayer import (
    transpose_planes as transpose_planes,
)
from .bayer import (
    unpack_bayer as unpack_bayer,
)
from .decoder import (
    start_decoder as start_decoder,
)
from .lens_opcodes import (
    Vignette as Vignette,
)
from .lens_opcodes import (
    Warp as Warp,
)
from .lens_opcodes import (
    moves_colors_apart as moves_colors_apart,
)
from .lens_opcodes import (
    moves_green as moves_green,
)
from .lens_opcodes import (
    vignette_gains as vignette_gains,
)
from .lens_opcodes import (
    warped as warped,
)
from .maker_notes import (
    CameraSettings as CameraSettings,
)
from .masked import (
    MaskedBlack as MaskedBlack,
)
from .metadata import (
    Exposure as Exposure,
)
from .metadata import (
    Metadata as Metadata,
)
from .opcodes import (
    GainMap as GainMap,
)
from .opcodes import (
    OpcodeLists as OpcodeLists,
)
from .opcodes import (
    has_shading as has_shading,
)
from .opcodes import (
    interpolate_grid as interpolate_grid,
)
from .opcodes import (
    map_gains as map_gains,
)
from .opcodes import (
    picture_corrections as picture_corrections,
)
from .packet import (
    tiff_packet as tiff_packet,
)
from .preview import (
    read_preview as read_preview,
)
from .reader import (
    RAW_SUFFIXES as RAW_SUFFIXES,
)
from .reader import (
    ColorMatrix as ColorMatrix,
)
from .reader import (
    RawImage as RawImage,
)
from .reader import (
    Rectangle as Rectangle,
)
from .reader import (
    apply_gain_maps as apply_gain_maps,
)
from .reader import (
    correct_black as correct_black,
)
from .reader import (
    finite as finite,
)
from .reader import (
    has_three_colors as has_three_colors,
)
from .reader import (
    packed_planes as packed_planes,
)
from .reader import (
    read_raw as read_raw,
)
from .reader import (
    read_size as read_size,
)
from .reader import (
    sampled as sampled,
)
from .reader import (
    to_dn as to_dn,
)
from .tag_names import (
    Tag as Tag,
)
from .tags import (
    ExifTag as ExifTag,
)
from .tags import (
    read_tags as read_tags,
)
from .truncation import (
    declared_size as declared_size,
)
from .truncation import (
    end_of_pieces as end_of_pieces,
)
