"""Files of tenants: their originals, and the way into embed_fn, where they become documents."""

from .following import FileEvent
from .model import FilePage, FileRecord, FileStatus, Phase, Progress
from .service import Files, NoFilesError, open_files, refusal

__all__ = [
    "FileEvent",
    "FilePage",
    "FileRecord",
    "FileStatus",
    "Files",
    "NoFilesError",
    "Phase",
    "Progress",
    "open_files",
    "refusal",
]
