"""HTTP as its RFCs define it: header fields and replies. Nothing here concerns stored responses."""
