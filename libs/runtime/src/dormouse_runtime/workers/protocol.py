"""What goes over a worker's two pipes: frames of a fixed head and a body.

A request's head holds a ticket, its time limit in seconds and the body's length; a reply's head holds the same ticket
and says what the body is. Tickets cannot be guessed, so nothing can be written in advance that would pass for a later
answer. The first reply comes unasked, once the worker is ready, with the ticket HELLO: a JSON list of the protections
that this system does not offer.
"""

import enum
import struct
from typing import Final

REQUEST_HEAD: Final = struct.Struct(">8sdI")
REPLY_HEAD: Final = struct.Struct(">8sBI")
TICKET_BYTES: Final = 8
HELLO: Final = bytes(TICKET_BYTES)
REQUEST_BYTES: Final = 32 << 20


class Reply(enum.IntFlag):
    """What a reply's body is. Without a flag: the answer."""

    ANSWER = 0
    ERROR = 1  # a sentence for the model
    DEFECT = 2  # a traceback for the log
    LAST = 4  # beside one of the others: the worker is worn out and wants to be replaced
