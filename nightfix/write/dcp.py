"""Write: a look as a DNG camera profile (DCP), for editors that open the DNG of a photo."""

from __future__ import annotations

import os
from pathlib import Path

from nightfix.develop import LookProfile
from nightfix.read import RawImage, Tag
from nightfix.write.atomic import replacing
from nightfix.write.dng import camera_color_tags
from nightfix.write.ifd import FLOAT, LONG, IfdNode, float_tag, tag, text_tag, write_tree

#: Behind the byte order, in place of TIFF's 42: "RC".
_MAGIC = 0x4352

#: Of DNG's numbers: anyone may copy and embed the profile; the table's values are encoded as
#: sRGB; an editor takes no black off by itself.
_NO_RESTRICTIONS, _SRGB, _NO_BLACK = 3, 1, 1


def write_dcp(
    path: str | os.PathLike[str],
    profile: LookProfile,
    *,
    name: str,
    camera: RawImage,
    overwrite: bool = False,
) -> None:
    """Write a profile for one camera.

    Parameters
    ----------
    path : str or path-like
        File to write.
    profile : LookProfile
        What it does.
    name : str
        Shown by editors.
    camera : RawImage
        A photo of the camera; its name and matrices are those that :func:`write_dng` writes,
        by which editors find the profile and come to the light that it acts on.
    overwrite : bool
        Replace an existing file.

    Raises
    ------
    OutputExistsError, OutputWriteError
        As for :func:`nightfix.write.tiff.write_tiff`.

    Notes
    -----
    There is no ForwardMatrix: without one, an editor comes from the camera to XYZ by the
    ColorMatrix and Bradford's adaptation, as :mod:`nightfix.develop.color` does.

    References
    ----------
    Adobe, "Digital Negative (DNG) Specification", version 1.7.1.0, 2023, chapter 6 and
    "Camera Profile" tags; a profile of its own begins with "IIRC".
    """
    values, hues, saturations = profile.table.shape[:3]
    tags = [
        *camera_color_tags(camera),
        text_tag(Tag.PROFILE_NAME, name),
        text_tag(Tag.PROFILE_COPYRIGHT, "Made with NightFix"),
        tag(Tag.PROFILE_EMBED_POLICY, LONG, _NO_RESTRICTIONS),
        float_tag(Tag.PROFILE_TONE_CURVE, FLOAT, profile.curve.ravel().tolist()),
        tag(Tag.PROFILE_LOOK_TABLE_DIMS, LONG, hues, saturations, values),
        tag(Tag.PROFILE_LOOK_TABLE_ENCODING, LONG, _SRGB),
        float_tag(Tag.PROFILE_LOOK_TABLE_DATA, FLOAT, profile.table.ravel().tolist()),
        tag(Tag.DEFAULT_BLACK_RENDER, LONG, _NO_BLACK),
    ]
    with (
        replacing(Path(path), overwrite=overwrite, source=camera.path) as temporary,
        temporary.open("wb") as file,
    ):
        write_tree(file, IfdNode(tags=tags), magic=_MAGIC)
