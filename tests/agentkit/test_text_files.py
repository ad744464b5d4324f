"""Files in a field's own format: what is tolerated, and what is refused, in one line."""

from pathlib import Path

import pytest

from agentkit.types import UsageError, csv_files, pair_files, read_lines, read_table


def test_a_byte_order_mark_crlf_and_blank_lines_change_nothing(tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    path.write_bytes("\ufeffvideo,frame\r\n\r\nä,1\r\n".encode())
    assert [(line.number, line.text) for line in read_lines(path)] == [
        (1, "video,frame"),
        (3, "ä,1"),
    ]
    assert [cells for _, cells in read_table(path, ("video", "frame"))] == [["ä", "1"]]


def test_a_quoted_cell_may_hold_a_comma(tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    path.write_text('video,label\n"gate, north",entered\n', encoding="utf-8")
    assert [cells for _, cells in read_table(path, ("video", "label"))] == [
        ["gate, north", "entered"]
    ]


def test_a_row_longer_than_the_csv_module_allows_is_read(tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    path.write_text(f"video,scores\na,{'0.25 ' * 50_000}\n", encoding="utf-8")
    ((_, cells),) = read_table(path, ("video", "scores"))
    assert len(cells[1].split()) == 50_000


@pytest.mark.parametrize(
    ("raw", "said"),
    [
        (b"", ": holds no line; is it the right file?"),
        (b"\n \r\n", ": holds no line; is it the right file?"),
        (b"video,frame\n\xff\xfe", ": no UTF-8 text (byte 12); save it as UTF-8"),
        (b"frame,video\n", ", line 1: the header is 'frame,video'; write video,frame"),
        (b"video,frame\na,1,2\n", ", line 2: 3 cells where 2 are meant: video,frame"),
        (b'video,frame\n"a,1\n', ", line 2: not CSV (unexpected end of data); close its quotes"),
    ],
)
def test_a_file_of_another_format_is_named_with_its_line(
    tmp_path: Path, raw: bytes, said: str
) -> None:
    path = tmp_path / "a.csv"
    path.write_bytes(raw)
    with pytest.raises(UsageError) as caught:
        read_table(path, ("video", "frame"))
    assert str(caught.value) == f"{path}{said}"


@pytest.mark.parametrize("cell", ["", "1.0", "1_0", "٣", "0x1", "9" * 5000])
def test_what_is_no_whole_number_is_refused(tmp_path: Path, cell: str) -> None:
    path = tmp_path / "a.txt"
    path.write_text("x", encoding="utf-8")
    with pytest.raises(UsageError, match=r"line 1: frame .* is no whole number; write digits"):
        read_lines(path)[0].integer(cell, "frame")


@pytest.mark.parametrize("cell", ["nan", "inf", "-Infinity", "1e999"])
def test_what_is_not_finite_is_refused(tmp_path: Path, cell: str) -> None:
    path = tmp_path / "a.txt"
    path.write_text("x", encoding="utf-8")
    with pytest.raises(UsageError, match="is not finite; write a number"):
        read_lines(path)[0].real(cell, "score")


def test_a_bound_is_kept(tmp_path: Path) -> None:
    path = tmp_path / "a.txt"
    path.write_text("x", encoding="utf-8")
    line = read_lines(path)[0]
    assert line.integer(" 3 ", "frame", 0) == 3
    assert line.real("-0.5", "score") == -0.5
    with pytest.raises(UsageError, match="frame -1 is below 0"):
        line.integer("-1", "frame", 0)
    with pytest.raises(UsageError, match=r"start_s -0\.5 is below 0"):
        line.real("-0.5", "start_s", 0)


def test_files_that_cannot_be_read_are_named(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"nowhere\.txt: cannot be read: No such file"):
        read_lines(tmp_path / "nowhere.txt")
    with pytest.raises(UsageError, match="a folder where a file is meant; name the file"):
        read_lines(tmp_path)
    with pytest.raises(UsageError, match=r"holds no \.csv; put one there"):
        csv_files(tmp_path)


def test_files_of_the_same_name_belong_together(tmp_path: Path) -> None:
    for name in ("found/b.txt", "found/a.txt", "true/a.txt", "true/b.txt", "true/.DS_Store"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(name, encoding="utf-8")
    pairs = pair_files(tmp_path / "found", tmp_path / "true")
    assert [(pair.video, pair.predictions.name, pair.ground_truth.name) for pair in pairs] == [
        ("a", "a.txt", "a.txt"),
        ("b", "b.txt", "b.txt"),
    ]
    (tmp_path / "found/b.txt").unlink()
    with pytest.raises(UsageError, match=r"true/b\.txt: there is no b\.txt in .*found; add it"):
        pair_files(tmp_path / "found", tmp_path / "true")
    with pytest.raises(UsageError, match="one is a folder, the other is not; give two files"):
        pair_files(tmp_path / "found/a.txt", tmp_path / "true")
    (tmp_path / "none").mkdir()
    (tmp_path / "none2").mkdir()
    with pytest.raises(UsageError, match="holds no file; put one a video there"):
        pair_files(tmp_path / "none", tmp_path / "none2")
