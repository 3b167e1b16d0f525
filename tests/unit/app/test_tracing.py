from __future__ import annotations

import subprocess
import sys

_LOADED = """
import sys
import gateway.app
unwanted = ("gateway.adapters.otlp", "google.", "opentelemetry.exporter", "opentelemetry.sdk.trace")
print([name for name in sys.modules if name.startswith(unwanted)])
"""


def test_what_sends_traces_is_not_loaded_where_it_is_not_wanted() -> None:
    """Installed or not. (redis-py loads what there is of OpenTelemetry's metrics.)"""
    done = subprocess.run(
        [sys.executable, "-c", _LOADED], capture_output=True, text=True, check=True
    )

    assert done.stdout == "[]\n"
