"""ListDocuments, GetDocument, GetPassage, DeleteDocument."""

from typing import Final

from dormouse.embed.v1 import embed_service_pb2 as pb

from embed_fn import errors
from embed_fn.calls.conversion import document_proto, passage_proto
from embed_fn.means import Means
from embed_fn.scopes import reader, writer

PAGE: Final = 50
LARGEST_PAGE: Final = 200


class DocumentCalls:
    """Every call reaches only the documents of the caller's tenant."""

    def __init__(self, means: Means) -> None:
        self._documents = means.documents
        self._ingestions = means.ingestions
        self._upkeep = means.upkeep

    async def list(self, request: pb.ListDocumentsRequest) -> pb.ListDocumentsResponse:
        """A page, newest first. Errors: INVALID_ARGUMENT."""
        caller = reader()
        if request.page_size > LARGEST_PAGE:
            raise errors.invalid_argument(f"A page has at most {LARGEST_PAGE} documents.")
        page = await self._documents.list(
            caller.tenant, page_size=request.page_size or PAGE, page_token=request.page_token
        )
        return pb.ListDocumentsResponse(
            documents=[document_proto(document) for document in page.documents], next_page_token=page.next_token
        )

    async def get(self, request: pb.GetDocumentRequest) -> pb.GetDocumentResponse:
        """The document, whatever its state. Errors: DOCUMENT_NOT_FOUND."""
        document = await self._documents.get(reader().tenant, request.document_id)
        return pb.GetDocumentResponse(document=document_proto(document))

    async def passage(self, request: pb.GetPassageRequest) -> pb.GetPassageResponse:
        """A passage of a document that is ready. Errors: DOCUMENT_NOT_FOUND."""
        passage = await self._documents.passage(reader().tenant, request.chunk_id)
        return pb.GetPassageResponse(passage=passage_proto(passage))

    async def delete(self, request: pb.DeleteDocumentRequest) -> pb.DeleteDocumentResponse:
        """Deletes the document, and ends its ingestion. Errors: DOCUMENT_NOT_FOUND."""
        caller = writer()
        await self._ingestions.delete(caller.tenant, request.document_id)
        self._upkeep.wake(caller.tenant)
        return pb.DeleteDocumentResponse()
