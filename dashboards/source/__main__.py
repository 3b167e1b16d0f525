"""Write everything that is made from here: `make dashboards`."""

from __future__ import annotations

from dashboards.source.made import ROOT, made

if __name__ == "__main__":
    for path, text in made().items():
        (ROOT / path).write_text(text)
