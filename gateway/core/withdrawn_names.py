"""Names that operators knew and that went, and what to use instead.

A name is a setting (`section.name`), a value of a setting (`section.name = "value"`), or an order
(`mode bypass`). A change that removes such a name adds a line here and in CHANGELOG.md, under
"Withdrawn".
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

# A name that is still accepted is not looked up here.
WITHDRAWN: Final[Mapping[str, str]] = {
    "server.max_body": "went in 0.2: a body of a caller may be as large as upstream.max_body",
    "admin.max_body": "went in 0.2: an order may have 256KiB, which is enough for any",
    "limits.max_fields": "went in 0.2: a request head may have 100 fields",
    'freshness.client_directives = "honour"': 'went in 0.2: use "limited"',
    "mode bypass": "went in 0.2: after a soft purge, the next request for a training asks the API",
}
