"""From a file's bytes to a document that searches can see: received, parsed, cut, embedded, stored."""
