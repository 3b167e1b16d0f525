"""One concept, one word; and no word that ties the project to the machine it was made on."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

from tests.house.sources import ROOT, Source, sources

# The glossary's banned words, and the word to take instead.
BANNED = {
    re.compile(r"\bexpired\b", re.IGNORECASE): "stale",
    re.compile(r"\bvalidate\b", re.IGNORECASE): "parse, admit or revalidate",
}
LOCK = re.compile(r"(?:^|_)lock(?:s|ed)?(?:_|$)|(?:^|[a-z_])Lock(?![a-z])", re.ASCII)
PLACES = re.compile("/(?:work|farm|root|home/[a-z]+)/|/tmp/[a-z]+_jobs")
# "Who asks for more gets …": a subject that has to be read twice. A question is fine.
LOOSE = re.compile(r"(?:^|[.;:(] )[Ww]ho(?:ever)? [a-z]+s (?![^.;\n]*\?)", re.MULTILINE)
HOSTS = re.compile(r"\b(?:pypi|pythonhosted|npmjs|debian)\.(?:org|com)\b")
READ = {
    ".py",
    ".toml",
    ".md",
    ".lua",
    ".lock",
    ".html",
    ".js",
    ".css",
    ".json",
    ".yml",
    ".yaml",
    "",
}


def test_the_glossary_holds() -> None:
    """No file of the gateway or its configuration uses a word that the glossary replaces."""
    found = [
        f"{path.relative_to(ROOT)}: {match[0]!r}; say {instead}"
        for path in _files("gateway", "config")
        if "documents" not in path.parts  # made of the runbook, in which certificates expire
        for word, instead in BANNED.items()
        for match in word.finditer(path.read_text())
    ]

    assert found == []


def test_nothing_is_named_lock() -> None:
    """What replicas hold on a key is a lease; no name of ours says lock."""
    found = [f"{each.path}: {name}" for each in sources() for name in _own_names(each)]

    assert [name for name in found if LOCK.search(name.split(": ")[1])] == []


def test_no_path_or_host_of_a_machine_is_in_the_tree() -> None:
    """Nothing names a folder of somebody's machine, nor the host of a package registry."""
    found = [
        f"{path.relative_to(ROOT)}: {match[0]}"
        for path in _files("*")
        if path != Path(__file__)
        for pattern in (PLACES, HOSTS)
        for match in pattern.finditer(path.read_text())
    ]

    assert found == []


def test_no_sentence_begins_with_a_free_standing_who() -> None:
    """Code, documents, settings and the page name their subject: "callers that …"."""
    found = [
        f"{path.relative_to(ROOT)}: {match[0]!r}"
        for path in _files("*")
        if path.suffix in {".md", ".toml", ".js", ".py"} and "uplot" not in str(path)
        if path != Path(__file__)
        for match in LOOSE.finditer(path.read_text())
    ]

    assert found == []


def test_the_patterns_find_what_they_are_for() -> None:
    """Each pattern above matches what it bans, and spares the words that merely resemble it."""
    assert all(LOCK.search(name) for name in ("lock", "key_lock", "KeyLock", "is_locked"))
    assert not any(LOCK.search(name) for name in ("clock", "block_size", "Clock", "Locker"))
    assert PLACES.search("see /root/x")
    assert HOSTS.search("from pypi.org")
    assert LOOSE.search("Who asks for more gets a stale answer.")
    assert LOOSE.search("nothing else; " + "whoever needs it says so")
    assert not LOOSE.search("**Look:** Who asks for so much?")


def _files(*tops: str) -> Iterator[Path]:
    """The readable files below the top-level entries that match, caches and the like left out."""
    skipped = re.compile(r"^(\.(?!ci$|github$)|__pycache__$|build$|dist$|.*\.egg-info$)")
    for top in (top for pattern in tops for top in sorted(ROOT.glob(pattern))):
        for path in [top] if top.is_file() else sorted(top.rglob("*")):
            parts = path.relative_to(ROOT).parts
            if path.is_file() and path.suffix in READ and not any(map(skipped.match, parts)):
                yield path


def _own_names(source: Source) -> Iterator[str]:
    """The names that a module defines: classes, functions, parameters, variables, attributes."""
    for node in ast.walk(source.tree):
        match node:
            case ast.ClassDef(name=name) | ast.FunctionDef(name=name) | ast.arg(arg=name):
                yield name
            case ast.AsyncFunctionDef(name=name) | ast.Name(id=name, ctx=ast.Store()):
                yield name
            case ast.Attribute(attr=name, ctx=ast.Store()):
                yield name
