"""HTTP as its RFCs have it: header fields and responses, without a word on what is stored."""
