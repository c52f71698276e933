"""The scripts that put no space between words: each of their characters counts as a word."""

UNSPACED_SCRIPTS = r"\p{Han}\p{Hiragana}\p{Katakana}\p{Thai}\p{Lao}\p{Khmer}\p{Myanmar}"
"""Inside the brackets of a regular expression in Rust's syntax."""
