"""ListDocuments, GetDocument, GetPassage, DeleteDocument."""

from dormouse.embed.v1 import embed_service_pb2 as pb

from embed_fn import errors
from embed_fn.means import Means


class DocumentCalls:
    """Every call reaches only the documents of the caller's tenant."""

    def __init__(self, means: Means) -> None:
        self._means = means

    async def list(self, request: pb.ListDocumentsRequest) -> pb.ListDocumentsResponse:
        raise errors.not_available("ListDocuments")

    async def get(self, request: pb.GetDocumentRequest) -> pb.GetDocumentResponse:
        raise errors.not_available("GetDocument")

    async def passage(self, request: pb.GetPassageRequest) -> pb.GetPassageResponse:
        raise errors.not_available("GetPassage")

    async def delete(self, request: pb.DeleteDocumentRequest) -> pb.DeleteDocumentResponse:
        raise errors.not_available("DeleteDocument")
