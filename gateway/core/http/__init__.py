"""HTTP as its RFCs define it: header fields and replies. This package knows no stored response."""
