"""Which programming language a text is in, by its address and by cheap signs of its content."""

from __future__ import annotations

import functools
from collections.abc import Mapping

import polars as pl

from lakehouse.annotate.addresses import split_addresses

MIN_SYMBOLS_BY_ADDRESS = 0.02
"""Symbols per character that a text must have to be what its address ends in: 99 % of Python files have more, 99 % of
web pages' texts less. A page about a program has the program's address too."""
MIN_SYMBOLS_BY_CONTENT = 0.03
MIN_SIGNS, MIN_SIGN_LINES = 3, 0.1
"""How many lines, and which share of them, must have a language's signs where only the content tells."""

_LOOKED_AT = 20_000  # characters

_EXTENSIONS_TABLE = """
    assembly: asm s | c: c h | clojure: clj cljs cljc | cmake: cmake | cpp: cc cpp cxx c++ hh hpp hxx h++ ipp
    csharp: cs csx | css: css scss less | cuda: cu cuh | dart: dart | elixir: ex exs | erlang: erl hrl
    fortran: f f90 f95 f03 f08 for | go: go | groovy: groovy gradle | haskell: hs lhs | html: html htm xhtml
    java: java | javascript: js mjs cjs jsx | json: json jsonl geojson ipynb | julia: jl | kotlin: kt kts
    lisp: lisp lsp el scm rkt | lua: lua | makefile: mk mak | matlab: m | nix: nix | objective_c: mm | ocaml: ml mli
    perl: pl pm t | php: php php5 phtml | powershell: ps1 psm1 | protobuf: proto | python: py pyw pyi pyx
    r: r | ruby: rb rake gemspec | rust: rs | scala: scala sc sbt | shell: sh bash zsh ksh | solidity: sol
    sql: sql ddl | swift: swift | tex: tex sty cls | toml: toml | typescript: ts tsx mts cts | verilog: v sv vh
    xml: xml xsd xsl xslt svg | yaml: yaml yml | zig: zig
"""
_EXTENSIONS = {
    extension: language.strip()
    for entry in _EXTENSIONS_TABLE.replace("\n", "|").split("|")
    if entry.strip()
    for language, _, extensions in [entry.partition(":")]
    for extension in extensions.split()
}
_FILE_NAMES = {
    "dockerfile": "dockerfile",
    "makefile": "makefile",
    "gnumakefile": "makefile",
    "cmakelists.txt": "cmake",
    "gemfile": "ruby",
    "rakefile": "ruby",
    "jenkinsfile": "groovy",
    "build.bazel": "python",
    ".bashrc": "shell",
}
# Servers make pages of these: the address says so of prose too, so the text must begin like a file of the language.
_BEGINNINGS = {"html": r"^\s*<(?:!doctype|html|!--|\?xml)", "php": r"^\s*(?:#!|<\?(?:php|=)|<!doctype|<html)"}
_INTERPRETERS = {
    "python": "python",
    "bash": "shell",
    "zsh": "shell",
    "ksh": "shell",
    "dash": "shell",
    "sh": "shell",
    "node": "javascript",
    "perl": "perl",
    "ruby": "ruby",
    "php": "php",
    "lua": "lua",
    "rscript": "r",
    "julia": "julia",
}
_INTERPRETER = rf"^#![^\n]*?/(?:env +(?:-S +)?)?({'|'.join(_INTERPRETERS)})[\d.]*(?:\s|$)"
_FIRST_LINES = {"php": r"^\s*<\?php", "xml": r"^\s*<\?xml", "html": r"^\s*<(?:!doctype html|html[\s>])"}

# Lines that one language has and others seldom do.
_SIGNS = {
    "python": (
        r"def \w+\(.*",
        r"class \w+(?:\(.*\))?:",
        r"from [\w.]+ import .+",
        r"import [\w.]+(?: as \w+)?",
        r"elif .+:",
        r"except(?: .+)?:",
        r"if __name__ == .+",
        r"with .+ as \w+:",
        r"return self\..+",
        r"self\.\w+ = .+",
        r"@\w[\w.]*(?:\(.*\))?",
    ),
    "javascript": (
        r"(?:export )?(?:async )?function\*? ?\w*\(.*",
        r"const .+ = .+",
        r"let \w+.*;?",
        r"var \w+ ?=.+",
        r"""import .+ from ['\"].+""",
        r"module\.exports.+",
        r"console\.\w+\(.+",
    ),
    "typescript": (
        r"(?:export )?interface \w+ .*\{",
        r"(?:export )?type \w+ = .+",
        r"(?:private|public|readonly) \w+: .+;",
        r"""import .+ from ['\"].+""",
        r"const \w+: .+ = .+",
        r"\w+\??: (?:string|number|boolean)[;,\[]?.*",
    ),
    "java": (
        r"package [\w.]+;",
        r"import (?:static )?[\w.]+(?:\.\*)?;",
        r"@Override",
        r"(?:public|private|protected) (?:static |final |abstract )*[\w<>\[\], ]+ \w+.*[{;(]",
        r"System\.out\..+",
    ),
    "c": (
        r"#include [<\"].+",
        r"#define \w+.*",
        r"#ifn?def \w+",
        r"#endif.*",
        r"typedef .+",
        r"(?:static |const |unsigned )*(?:int|void|char|double|float|size_t|struct \w+) \*?\w+(?:\(.*|\[.*| = .*|;)",
        r"printf\(.+",
    ),
    "cpp": (
        r"using namespace \w+;",
        r"template ?<.+",
        r"std::.+",
        r".*std::.+",
        r"namespace \w+ .*",
        r"class \w+.*\{",
        r"(?:public|private):",
        r"virtual .+;",
        r"#include <(?:iostream|vector|string|memory|map)>",
    ),
    "csharp": (
        r"using [A-Z][\w.]+;",
        r"namespace [A-Z][\w.]+.*",
        r"(?:public|private|internal) .*\{ get; .*",
        r"Console\.\w+\(.+",
        r"var \w+ = new .+",
    ),
    "go": (
        r"package \w+",
        r"func (?:\(\w+ \*?\w+\) )?\w+\(.*",
        r"import \(",
        r".+ := .+",
        r"if err != nil .*",
        r"type \w+ (?:struct|interface) .*",
        r"defer .+",
        r"fmt\.\w+\(.+",
    ),
    "rust": (
        r"(?:pub(?:\(.+\))? )?(?:async )?fn \w+.*",
        r"use [\w:]+(?:::\{.*|;)",
        r"let (?:mut )?\w+.*;",
        r"impl(?:<.*>)? .+",
        r"#\[\w+.*\]",
        r"(?:pub )?(?:struct|enum|trait|mod) \w+.*",
        r"match .+ \{",
        r"println!\(.+",
    ),
    "ruby": (
        r"def [\w.?!]+.*",
        r"end",
        r"""require ['\"].+""",
        r"attr_\w+ :.+",
        r"module [A-Z]\w*",
        r"class [A-Z]\w*(?: < .+)?",
        r".+ do \|.+\|",
        r"puts .+",
    ),
    "shell": (
        r"if \[+ .+",
        r"fi",
        r"done",
        r"esac",
        r"then",
        r"for \w+ in .+",
        r"echo .+",
        r"export \w+=.+",
        r"set -[a-z]+",
        r"\w+=\$\(.+",
        r"\w+\(\) ?\{",
    ),
    "sql": (
        r"(?i)select .+",
        r"(?i)create (?:or replace )?(?:table|view|index|function) .+",
        r"(?i)insert into .+",
        r"(?i)alter table .+",
        r"(?i)drop table .+",
        r"(?i)from \w+.*",
        r"(?i)where .+",
        r"(?i)(?:left |inner )?join .+",
        r"(?i)group by .+",
        r"(?i)order by .+",
        r"(?i)update \w+ set .+",
    ),
    "perl": (
        r"use strict;",
        r"use warnings;",
        r"my [$@%]\w+.*",
        r"sub \w+ .*",
        r"package [\w:]+;",
        r".*=~ .+",
        r"use [A-Z][\w:]+.*;",
    ),
    "php": (
        r"\$\w+ = .+;",
        r"(?:public |private |protected )?(?:static )?function \w+\(.*",
        r"use [A-Z]\w*\\.+;",
        r".*\$this->.+",
        r"echo .+;",
    ),
    "css": (
        r"[.#*][\w.#:*>, -]*\{",
        r"(?:body|html|div|span|a|p|ul|ol|li|h[1-6]|img|table|t[dhr]|input|button|nav|main)\b[\w.#:*>, \[\]-]*\{",
        r"(?:color|background|margin|padding|font|border|width|height|display|position|text|float|top|left|overflow)"
        r"[a-z-]*: ?[^;{}]+;",
        r"@(?:media|import|font-face|keyframes).*",
    ),
    "kotlin": (
        r"fun \w+.*",
        r"val \w+.*",
        r"var \w+: .+",
        r"data class .+",
        r"import [\w.]+",
        r"override fun .+",
        r"package [\w.]+",
    ),
    "swift": (
        r"import (?:Foundation|UIKit|SwiftUI)",
        r"func \w+.*",
        r"guard let .+",
        r"let \w+(?:: .+)? = .+",
        r"var \w+: .+",
        r"@objc.*",
        r"extension \w+.*",
    ),
    "haskell": (
        r"module [\w.]+ .*",
        r"import (?:qualified )?[A-Z][\w.]+.*",
        r"\w+ :: .+",
        r"data \w+ .*=.*",
        r"instance .+ where",
        r"where",
    ),
    "lua": (
        r"local (?:function )?\w+.*",
        r"end",
        r"function [\w.:]+\(.*",
        r".+ then",
        r"""require ?\(?['\"].+""",
    ),
    "r": (
        r"library\(\w+\)",
        r"\w[\w.]* <- .+",
        r".+ %>% ?.*",
        r"ggplot\(.+",
    ),
}
_LEADS = {"typescript": "javascript", "cpp": "c"}  # the first of each pair has the signs of the second too


def code_languages(texts: pl.Series, addresses: pl.Series, symbol_shares: pl.Series) -> pl.Series:
    """Name the programming language of n texts.

    What the address ends in decides if the text has as many symbols as code has; what servers make pages of (html, php)
    must also begin like a file of it. Else the first line decides (`#!`, `<?php`), else lines that one language has.

    Args:
        texts: n texts.
        addresses: their addresses, or nulls.
        symbol_shares: symbols per character (see `code_shape`), or nulls.

    Returns:
        n names such as python or cpp; null for what is no code, or of no language that is known here.
    """
    path = split_addresses(addresses)["rest"].str.replace(r"\?.*$", "").str.strip_chars_end("/")
    name = path.str.extract(r"([^/]+)$")
    extension = name.str.extract(r"\.([a-z0-9+]+)$")
    head = texts.str.head(_LOOKED_AT)
    frame = pl.DataFrame({"head": head, "symbols": symbol_shares.fill_null(0.0)}).with_columns(
        by_name=name.replace_strict(_FILE_NAMES, default=None, return_dtype=pl.String),
        by_extension=extension.replace_strict(_EXTENSIONS, default=None, return_dtype=pl.String),
        by_first_line=_by_first_line(head),
    )
    begins = pl.lit(value=True)
    for language, beginning in _BEGINNINGS.items():
        other = pl.col("by_extension").ne_missing(language)
        begins = begins & (other | pl.col("head").str.contains(f"(?i){beginning}"))
    told = pl.coalesce("by_name", pl.when(begins).then("by_extension"))
    by_address = pl.when(pl.col("symbols") >= MIN_SYMBOLS_BY_ADDRESS).then(told)
    found = frame.select("head", "symbols", language=pl.coalesce(by_address, "by_first_line"))
    unknown = found.with_row_index("row").filter(
        pl.col("language").is_null(), pl.col("symbols") >= MIN_SYMBOLS_BY_CONTENT
    )
    if unknown.is_empty():
        return found["language"]
    return found["language"].scatter(unknown["row"], _by_signs(unknown["head"]))


def _by_first_line(heads: pl.Series) -> pl.Series:
    text = pl.col("head").str
    names: Mapping[str, str] = _INTERPRETERS
    interpreter = text.extract(f"(?i){_INTERPRETER}").str.to_lowercase()
    first = [pl.when(text.contains(f"(?i){sign}")).then(pl.lit(name)) for name, sign in _FIRST_LINES.items()]
    by_interpreter = interpreter.replace_strict(names, default=None, return_dtype=pl.String)
    return heads.alias("head").to_frame().select(pl.coalesce(by_interpreter, *first).alias("language")).to_series()


def _by_signs(heads: pl.Series) -> pl.Series:
    """The language with the most lines that have its signs, if they are enough."""
    text = pl.col("head").str
    counts = heads.alias("head").to_frame().select(
        pl.when(text.count_matches(r"\S[^\n]*") > 0).then(text.count_matches(r"\S[^\n]*")).alias("lines"),
        *(text.count_matches(_sign_expression(language)).cast(pl.Int64).alias(language) for language in _SIGNS),
    )  # fmt: skip
    counts = counts.with_columns(
        (pl.col(name) + pl.when(pl.col(name) > 1).then(pl.col(base)).otherwise(0)).alias(name)
        for name, base in _LEADS.items()
    )
    most = pl.max_horizontal(*_SIGNS)
    language = pl.coalesce(pl.when(pl.col(name) == most).then(pl.lit(name)) for name in _SIGNS)
    enough = (most >= MIN_SIGNS) & (most >= MIN_SIGN_LINES * pl.col("lines"))
    return counts.select(pl.when(enough).then(language).alias("language")).to_series()


@functools.cache
def _sign_expression(language: str) -> str:
    signs = "|".join(_SIGNS[language])
    return rf"(?m)^[ \t]*(?:{signs})[ \t\r]*$"
