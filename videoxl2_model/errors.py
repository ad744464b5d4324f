"""Every error of the model: what, where and what to do. Each is a builtin error too."""


class VideoXL2Error(Exception):
    """Base of all errors that are not a defect of this package."""


class CheckpointError(VideoXL2Error, OSError):
    """A checkpoint's files are missing, damaged, or hold other tensors than the model needs."""


class SettingError(VideoXL2Error, ValueError):
    """A setting, or a group of tokens, cannot be used."""


class UnknownChunkError(VideoXL2Error, LookupError):
    """A chunk index lies outside the video."""


class AbsentGroupsError(VideoXL2Error, LookupError):
    """Groups are needed whose keys and values were not read."""


class RoomError(VideoXL2Error, ValueError):
    """More positions are needed than the cache or the model has."""
