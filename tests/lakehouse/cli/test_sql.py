"""`lakehouse sql`: what it writes, and its prompt, in real processes and on a real terminal."""

from __future__ import annotations

import csv
import fcntl
import io
import json
import os
import pty
import re
import select
import signal
import stat
import struct
import subprocess
import sys
import termios
import time
from pathlib import Path

import duckdb
import polars as pl
import pyarrow.parquet as pq
import pytest
from archives import REPOSITORY
from click.testing import Result
from typer.testing import CliRunner

from lakehouse.cli import app
from lakehouse.cli.prompt import HISTORY
from lakehouse.commits import Origin
from lakehouse.lake import Lake, LakeError

SQL = (sys.executable, "-m", "lakehouse", "sql")
READY = r"lake>\s*$"
WORKS_FOR_LONG = "SELECT count(*) FROM range(1000000000000) AS t(i) WHERE hash(i) % 3 = 1"


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A lake in which `raw/web` has one page in version 1 and two in version 2; a text holds orders for a terminal."""
    root = tmp_path_factory.mktemp("asked") / "the lake"
    for documents in (1, 2):
        page = {"doc_id": "d", "text_id": "t", "snapshot": "s1", "source": "web", "text": "\x1b]0;owned\x07 [red]ok"}
        rows = [page | {"doc_id": f"d{n}", "n_chars": 5, "n_words": 1_000 * n, "parents": []} for n in range(documents)]
        frame = pl.DataFrame(rows, schema_overrides={"parents": pl.List(pl.String)})
        Lake(root).replace_frame("raw/web", frame, Origin(asset="raw/web"), snapshot="s1")
    return root


def environment(root: Path) -> dict[str, str]:
    return {**os.environ, "LAKEHOUSE_ROOT": str(root), "PYTHONPATH": str(REPOSITORY), "COLUMNS": "120"}


def run(root: Path, *arguments: str, stdin: str = "") -> Result:
    return CliRunner().invoke(app, ["sql", *arguments], input=stdin, env={"LAKEHOUSE_ROOT": str(root)})


def sql(root: Path, *arguments: str, stdin: str = "") -> str:
    """What the command prints."""
    done = run(root, *arguments, stdin=stdin)
    assert done.exit_code == 0, done.exception
    return done.stdout


def refusal(root: Path, *arguments: str, stdin: str = "") -> str:
    """The one line that the command ends with."""
    error = run(root, *arguments, stdin=stdin).exception
    assert isinstance(error, LakeError)
    assert "\n" not in str(error)
    return str(error)


# --- answers


def test_the_newest_rows_and_those_of_a_version(root: Path) -> None:
    query = "SELECT (SELECT count(*) FROM raw.web) AS newest, (SELECT count(*) FROM raw.web_v1) AS older"
    assert sql(root, query, "--format", "csv") == "newest,older\n2,1\n"
    assert "raw/web has no version 7" in refusal(root, "FROM raw.web_v7")


def test_every_type_is_written_in_every_format(root: Path, tmp_path: Path) -> None:
    query = "FROM test_all_types()"
    for suffix in ("csv", "json", "parquet"):
        sql(root, query, "--output", str(tmp_path / f"all.{suffix}"))
    expected = duckdb.connect().execute("SET TimeZone = 'UTC'").sql(query)
    rows, names = expected.fetchall(), expected.columns

    objects = [json.loads(line) for line in (tmp_path / "all.json").read_text().splitlines()]
    table = list(csv.DictReader(io.StringIO((tmp_path / "all.csv").read_text())))
    assert [list(row) for row in (objects[0], table[0])] == [names, names]
    for name in ("bool", "bigint", "hugeint", "double", "varchar", "int_array", "struct"):
        assert [row[name] for row in objects] == [row[names.index(name)] for row in rows]
    # The largest 128-bit number is 2^127 - 1; an interval and a union are text; null is null.
    assert [row["hugeint"] for row in table] == [str(-(2**127)), str(2**127 - 1), ""]
    assert table[1]["interval"] == objects[1]["interval"] == "83 years 3 months 999 days 00:16:39.999999"
    assert json.loads(table[1]["int_array"]) == [42, 999, None, None, -42]
    assert set(objects[2].values()) == {None}

    whole = pq.read_table(tmp_path / "all.parquet")
    assert whole.column_names == names
    for name in ("bigint", "double", "dec38_10", "timestamp_tz", "struct_of_arrays"):
        stored = duckdb.connect().execute("SET TimeZone = 'UTC'").sql(f"SELECT {name} FROM whole").fetchall()
        assert [value for (value,) in stored] == [row[names.index(name)] for row in rows]


def test_json_has_numbers_where_there_are_numbers(root: Path) -> None:
    query = "SELECT sum(n_words) AS words, 1.50 AS cost, 'NaN'::DOUBLE AS score, 'a\nb' AS text FROM raw.web"
    assert json.loads(sql(root, query, "--format", "json")) == {
        "words": 1000,
        "cost": 1.5,
        "score": None,
        "text": "a\nb",
    }


def test_csv_is_read_back_as_it_was(root: Path) -> None:
    texts = ["plain", 'a "quote"', "a, comma", "two\nlines", "carriage\rreturn", " spaces ", "", "é", "'"]
    values = ", ".join("('" + text.replace("'", "''") + "', 1)" for text in texts)
    written = sql(root, f"FROM (VALUES {values}, (NULL, 2)) AS t(text, n)", "--format", "csv")
    assert list(csv.reader(io.StringIO(written, newline=""))) == [
        ["text", "n"],
        *([text, "1"] for text in texts),
        ["", "2"],
    ]
    assert written.endswith('"",1\né,1\n\',1\n,2\n')  # an empty text is quoted, null is nothing
    assert sql(root, 'SELECT NULL AS "a,b"', "--format", "csv") == '"a,b"\n""\n'


def test_columns_of_the_same_name_are_all_kept(root: Path) -> None:
    assert sql(root, 'SELECT 1 AS n, 2 AS n, 3 AS "n_1"', "--format", "csv") == "n,n_1,n_1_1\n1,2,3\n"


def test_an_answer_without_rows_has_its_columns(root: Path, tmp_path: Path) -> None:
    query = "SELECT doc_id, n_words FROM raw.web WHERE false"
    assert sql(root, query, "--format", "csv") == "doc_id,n_words\n"
    assert sql(root, query, "--format", "json") == ""
    sql(root, query, "--output", str(tmp_path / "none.parquet"))
    assert pq.read_schema(tmp_path / "none.parquet").names == ["doc_id", "n_words"]
    assert "n_words" in sql(root, query)


def test_a_table_shows_the_first_rows_and_how_many_there_are(root: Path) -> None:
    few = sql(root, "FROM range(5000)", "--max-rows", "3")
    assert few.rstrip().endswith("3 of 5,000 rows; --max-rows shows more.")
    many = sql(root, "FROM range(1000000000)", "--max-rows", "3")
    assert many.rstrip().endswith("The first 3 rows; --max-rows shows more.")
    shown = sql(root, "SELECT 1234567 AS n UNION ALL SELECT 8 ORDER BY 1").splitlines()
    assert [line.rstrip()[-1:] for line in shown if line.strip()] == ["n", "─", "8", "7"]
    assert "1,234,567" in shown[-2]


def test_what_a_page_says_orders_no_terminal_about(root: Path) -> None:
    shown = sql(root, "SELECT text, 1 AS '[bold]x' FROM raw.web LIMIT 1")
    assert "\x1b" not in shown
    assert "\x07" not in shown
    assert "[red]ok" in shown
    assert "[bold]x" in shown


def test_a_plan_is_printed_whole(root: Path) -> None:
    plan = sql(root, "EXPLAIN SELECT n_words FROM raw.web WHERE source = 'web'")
    assert "READ_PARQUET" in plan
    assert "source='web'" in plan


def test_parquet_goes_to_a_pipe(root: Path) -> None:
    piped = run(root, "SELECT doc_id FROM raw.web ORDER BY 1", "--format", "parquet").stdout_bytes
    assert pq.read_table(io.BytesIO(piped)).to_pydict() == {"doc_id": ["d0", "d1"]}


def test_a_reader_that_has_enough_ends_it(root: Path) -> None:
    command = [*SQL, "FROM range(100000000)", "--format", "csv"]
    process = subprocess.Popen(command, env=environment(root), stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    assert process.stdout is not None
    assert process.stderr is not None
    assert process.stdout.readline() == b"range\n"
    process.stdout.close()
    assert process.wait(30) in (0, 1)
    assert b"Traceback" not in process.stderr.read()


# --- scripts


def test_a_script_runs_every_statement_and_they_share_what_they_make(root: Path) -> None:
    script = (
        "CREATE TEMP TABLE n AS\n  FROM range(3);\n\nSELECT sum(range) AS s FROM n; -- that is all\nSELECT ';' AS t"
    )
    assert sql(root, "--format", "csv", stdin=script) == "s\n3\nt\n;\n"
    assert sql(root, stdin="") == ""


def test_a_statement_that_duckdb_takes_apart_is_run_as_one(root: Path) -> None:
    script = "SELECT 1 AS a; PIVOT raw.web_v2 ON doc_id USING count(*) GROUP BY source; SELECT 2 AS b"
    assert sql(root, script, "--format", "csv") == "a\n1\nsource,d0,d1\nweb,1,1\nb\n2\n"


def test_a_script_with_a_mistake_runs_none_of_it_and_one_that_fails_ends_there(root: Path) -> None:
    done = run(root, "--format", "csv", stdin="SELECT 1 AS a;\nSELEC 2;")
    assert done.stdout == ""
    assert str(done.exception) == 'SQL: Parser Error: syntax error at or near "SELEC" (line 2)'
    done = run(root, "--format", "csv", stdin="SELECT 1 AS a; SELECT url_ FROM raw.web; SELECT 3 AS c")
    assert done.stdout == "a\n1\n"
    assert 'Candidate bindings: "url"' in str(done.exception)


def test_a_mistake_is_one_line_and_orders_no_terminal_about(root: Path) -> None:
    query = "SELECT text::INT FROM raw.web"
    done = subprocess.run([*SQL, query], env=environment(root), capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert done.stderr.startswith("Error: SQL: Conversion Error: Could not convert string")
    assert done.stderr.count("\n") == 1
    assert "\x1b" not in done.stderr
    long = refusal(root, "SELECT ('the end of ' || repeat('a page ', 100000))::INT")
    assert "Could not convert string 'the end of a page" in long
    assert len(long) < 1_000


# --- files


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("SELECT 1", "--output", "x.xlsx"), "must end in one of .csv, .json, .jsonl, .parquet"),
        (("SELECT 1", "--output", "x.csv", "--format", "json"), "its name says csv, --format says json"),
        (("SELECT 1", "--output", "nowhere/x.csv"), "there is no folder"),
        (("SELECT 1; SELECT 2", "--output", "x.csv"), "there are 2 with rows"),
        (("SET threads = 1", "--output", "x.csv"), "there are 0 with rows"),
        (("SELECT error('no') FROM range(100000)", "--output", "x.csv"), "Invalid Input Error: no"),
        (("SELECT CAST(if(range < 99999, '1', 'x') AS INT) FROM range(100000)", "--output", "x.csv"), "Conversion"),
    ],
)
def test_a_file_that_cannot_be_written_is_not_begun(
    root: Path, tmp_path: Path, arguments: tuple[str, str, str], message: str
) -> None:
    (tmp_path / "x.csv").write_text("from before")
    query, option, name, *more = arguments
    assert message in refusal(root, query, option, str(tmp_path / name), *more)
    assert [file.read_text() for file in tmp_path.iterdir()] == ["from before"]


def test_an_answer_of_any_size_is_written_in_bounded_memory(root: Path, tmp_path: Path) -> None:
    program = (
        "import sys; from lakehouse.cli import app; app(standalone_mode=False); "
        "print([line.split()[1] for line in open('/proc/self/status') if line.startswith('VmHWM')][0])"
    )
    for suffix in ("csv", "parquet"):
        peaks = []
        for rows in (20_000, 2_000_000):
            query = f"SELECT i, md5(i::VARCHAR) AS id, i % 97 AS m FROM range({rows}) AS t(i)"
            file = tmp_path / f"many.{suffix}"
            command = [sys.executable, "-c", program, "sql", query, "--output", str(file)]
            done = subprocess.run(command, env=environment(root), capture_output=True, text=True, check=True)
            peaks.append(int(done.stdout) / 1024)
        assert duckdb.connect().sql(f"SELECT count(*) FROM '{file}'").fetchall() == [(2_000_000,)]
        # The rows are 90 MB: 2,000,000 of 8 + 32 + 8 bytes.
        assert peaks[1] - peaks[0] < 60


def test_ctrl_c_leaves_no_file(root: Path, tmp_path: Path) -> None:
    query = "SELECT i, md5(i::VARCHAR) FROM range(1000000000) AS t(i)"
    with Terminal(root, query, "--output", str(tmp_path / "x.csv")) as terminal:
        terminal.expect(r"[\d,]+ rows \(Ctrl-C stops it\)")
        assert len(list(tmp_path.iterdir())) == 1
        terminal.send("\x03")
        assert terminal.ended() == 128 + signal.SIGINT
    assert list(tmp_path.iterdir()) == []


# --- the prompt


class Terminal:
    """The command on a terminal of its own."""

    def __init__(self, root: Path, *arguments: str) -> None:
        self._master, slave = pty.openpty()
        fcntl.ioctl(slave, termios.TIOCSWINSZ, struct.pack("HHHH", 40, 120, 0, 0))
        self._process = subprocess.Popen(
            [*SQL, *arguments],
            env={**environment(root), "TERM": "xterm-256color", "PROMPT_TOOLKIT_NO_CPR": "1"},
            stdin=slave,
            stdout=slave,
            stderr=slave,
            start_new_session=True,
            preexec_fn=self._control,
        )
        os.close(slave)
        self._seen = b""

    @staticmethod
    def _control() -> None:
        signal.signal(signal.SIGINT, signal.SIG_DFL)  # a test run in the background ignores it
        fcntl.ioctl(0, termios.TIOCSCTTY, 0)

    def __enter__(self) -> Terminal:
        return self

    def __exit__(self, *_: object) -> None:
        self._process.kill()
        self._process.wait()
        os.close(self._master)

    def send(self, keys: str) -> None:
        """Type; what was shown before is no longer expected."""
        self._seen = b""
        os.write(self._master, keys.encode())

    def ask(self, query: str, answer: str) -> str:
        """Type a query and Enter; wait for the answer."""
        self.send(f"{query}\r")
        self.expect(answer)
        return self.expect(READY)

    def expect(self, pattern: str) -> str:
        """Wait until the terminal shows something; return all that it showed since the last keys."""
        end = time.monotonic() + 30
        while time.monotonic() < end:
            if not self._read(0.1) and self._process.poll() is not None:
                break
            shown = re.sub(rb"\x1b\[[0-9;?]*[a-zA-Z]|\x1b\][^\x07]*\x07|\x1b[=>]|[\r\x08]", b"", self._seen).decode()
            if re.search(pattern, shown):
                return shown
        raise AssertionError(f"no {pattern!r} in {self._seen.decode()!r}")

    def ended(self) -> int:
        """Wait for the end; return the exit status."""
        end = time.monotonic() + 30
        while self._process.poll() is None and time.monotonic() < end:
            self._read(0.1)
        return self._process.wait(0)

    def _read(self, seconds: float) -> bool:
        if not select.select([self._master], [], [], seconds)[0]:
            return False
        try:
            new = os.read(self._master, 65_536)
        except OSError:  # the other end is closed
            return False
        self._seen += new
        return bool(new)


def test_the_prompt_answers_goes_on_after_a_mistake_and_ends_at_ctrl_d(root: Path) -> None:
    with Terminal(root) as terminal:
        terminal.expect("End a query with ; or an empty line")
        terminal.expect(READY)
        assert "2" in terminal.ask("SELECT count(*) AS n FROM raw.web;", r"1 row, \d+\.\d\d s")
        mistake = terminal.ask("SELECT url_ FROM raw.web;", "Candidate bindings")
        assert re.search(r"LINE 1: SELECT url_ FROM raw.web;\n +\^", mistake)
        assert "has no version 7" in terminal.ask("FROM raw.web_v7;", "version 7")
        # Without a semicolon a query may have several lines; an empty one ends it.
        assert "1 row" in terminal.ask("SELECT 40 + 2\r  AS answer\r", "answer +\n +─+ +\n +42")
        terminal.ask("CREATE TEMP TABLE mine AS SELECT 7 AS seven;", "done, ")
        assert "7" in terminal.ask("FROM mine; SELECT 8 AS eight;", "(?s)seven.*1 row.*eight.*1 row")
        terminal.send("\x04")
        assert terminal.ended() == 0


def test_ctrl_c_stops_a_query_and_empties_a_line_and_the_prompt_goes_on(root: Path) -> None:
    with Terminal(root) as terminal:
        terminal.expect(READY)
        terminal.send(f"{WORKS_FOR_LONG};\r")
        terminal.expect(r"1 s.* \(Ctrl-C stops it\)")
        terminal.send("\x03")
        terminal.expect("Interrupted")
        terminal.expect(READY)
        terminal.send("SELECT never")
        terminal.expect("never")
        terminal.send("\x03")
        terminal.expect(READY)
        assert "42" in terminal.ask("SELECT 40 + 2;", "1 row")
        terminal.send(".quit\r")
        assert terminal.ended() == 0


def test_completion_offers_columns_views_and_versions(root: Path) -> None:
    with Terminal(root) as terminal:
        terminal.expect(READY)
        terminal.send("SELECT raw.web.warc_")
        assert {"raw.web.warc_file", "raw.web.warc_offset"} <= set(terminal.expect("warc_length").split())
        terminal.send("\x03")
        terminal.expect(READY)
        terminal.send("SELECT n_wo")  # one column begins so
        terminal.expect(r"n_words +column")
        terminal.send("\t")
        terminal.expect("n_words")
        assert "1,000" in terminal.ask(" FROM raw.web WHERE n_words > 0;", "1 row")
        terminal.send("FROM raw.web_v")
        terminal.expect(r"(?s)raw\.web_v2 +version.*raw\.web_v1 +version")
        assert "1 row" in terminal.ask("1;", "1 row")


def test_the_commands_of_the_prompt(root: Path) -> None:
    with Terminal(root) as terminal:
        terminal.expect(READY)
        assert re.search(r"raw\.web +\d+ +2", terminal.ask(".tables raw", r"newest version"))
        assert "lake.versions" not in terminal.ask(".tables raw.*", r"raw\.web")
        assert re.search(r"n_words +BIGINT", terminal.ask(".columns raw.web_v1", "language_score"))
        versions = terminal.ask(".versions raw.web", r"raw\.web_v1")
        assert versions.index("raw.web_v2") < versions.index("raw.web_v1")
        assert ".versions VIEW" in terminal.ask(".help", "Ctrl-R")
        assert "There is no command .tabels" in terminal.ask(".tabels", ".help lists them")
        assert "No table or view is named *xyz*" in terminal.ask(".tables xyz", "xyz[*]")
        assert "such as raw.web" in terminal.ask(".versions web", "such as")
        assert "does not exist" in terminal.ask(".columns web", "does not exist")


def test_history_comes_back_and_only_its_owner_reads_it(root: Path) -> None:
    (root / HISTORY).unlink(missing_ok=True)
    for keys in ("SELECT 'asked once' AS it;\r", "\x1b[A\x1b[A\r"):  # the second time the arrow key, over .quit
        with Terminal(root) as terminal:
            terminal.expect(READY)
            terminal.send(keys)
            terminal.expect("(?s)it.*asked once.*1 row")
            terminal.expect(READY)
            terminal.send(".quit\r")
            assert terminal.ended() == 0
    assert stat.S_IMODE((root / HISTORY).stat().st_mode) == 0o600
    assert (root / HISTORY).read_text().count("+SELECT 'asked once' AS it;") == 2


def test_a_terminal_gets_no_parquet_and_a_prompt_no_file(root: Path, tmp_path: Path) -> None:
    for arguments, message in (
        (("SELECT 1", "--format", "parquet"), "Parquet is no text"),
        (("--output", str(tmp_path / "x.csv")), "A prompt needs a terminal"),
    ):
        with Terminal(root, *arguments) as terminal:
            terminal.expect(message)
            assert terminal.ended() == 1
    assert list(tmp_path.iterdir()) == []
