import pytest
from hypothesis import given
from hypothesis import strategies as st

from tinyunet.data.splitfile import SPLITS, read_split_file

NAMES = st.text(st.characters(categories=["L", "N"], include_characters=" ,\"'._-"), min_size=1).map(str.strip)


@pytest.fixture
def read(tmp_path):
    """Reads bytes as a split.csv of a data set of the images a and b."""

    def read_bytes(content):
        path = tmp_path / "split.csv"
        path.write_bytes(content)
        return read_split_file(path, ["a", "b"])

    return read_bytes


@pytest.mark.parametrize(
    "content",
    [
        b"name,split\na,train\nb,unlabelled\n",
        b"name,split\r\na,train\r\nb,unlabelled\r\n",
        b"name,split\ra,train\rb,unlabelled",
        b"\xef\xbb\xbfname,split\r\na,train\r\nb,unlabelled",
        b'Name, Split \n\n"a",Train\n , \nb, unlabelled\n\n',
    ],
    ids=["unix", "windows", "old mac", "byte order mark", "sloppy"],
)
def test_any_line_ending_and_spacing_is_read(read, content):
    assert read(content) == ({"a": "train", "b": "unlabelled"}, [])


@given(st.dictionaries(NAMES.filter(bool), st.sampled_from(SPLITS), min_size=1))
def test_whatever_csv_can_write_is_read_back(tmp_path_factory, declared):
    path = tmp_path_factory.mktemp("split") / "split.csv"
    rows = ['"' + name.replace('"', '""') + f'",{split}' for name, split in declared.items()]
    path.write_text("\n".join(["name,split", *rows]), encoding="utf-8")
    assert read_split_file(path, declared) == (declared, [])


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "split.csv must begin with the line 'name,split', got an empty file."),
        (b"a,train\n", "split.csv must begin with the line 'name,split', got 'a,train'. Add it"),
        (
            b"name;split\na;train\n",
            "split.csv must begin with the line 'name,split', got 'name;split'. Add it, with a c",
        ),
        (b"name,split\n\xff,train", "split.csv must be text in UTF-8, got invalid start byte at byte 11."),
    ],
)
def test_what_is_no_table_declares_nothing(read, content, message):
    declared, problems = read(content)
    assert declared is None
    assert len(problems) == 1
    assert message in problems[0]


@pytest.mark.parametrize(
    ("line", "message"),
    [
        (b"c,train", "line 4: a name must be that of an image, got 'c'. Remove the line or add the image."),
        (b"a.png,train", "line 4: a name must be that of an image, got 'a.png'. Names carry no suffix: write 'a'."),
        (b"a,val", "line 4: a name must be listed once, got 'a' again. Remove one of its lines."),
        (b"a", "line 4: a line must be 'name,split', got 'a'. Give it two columns."),
        (b"a,train,1", "line 4: a line must be 'name,split', got 'a,train,1'. Give it two columns."),
    ],
)
def test_a_line_that_cannot_be_used_is_named(read, line, message):
    declared, problems = read(b"name,split\na,train\nb,test\n" + line)
    assert declared == {"a": "train", "b": "test"}
    assert len(problems) == 1
    assert problems[0].endswith(message)


def test_a_word_that_is_no_split_is_named(read):
    declared, problems = read(b"name,split\na,trian\nb,test\n")
    assert declared == {"b": "test"}
    assert len(problems) == 1
    assert "line 2: the split of 'a' must be one that exists, got 'trian'. Did you mean 'train'?" in problems[0]


def test_an_image_without_a_line_is_named(read):
    declared, problems = read(b"name,split\nb,train\n")
    assert declared == {"b": "train"}
    assert problems[0].endswith(
        "split.csv must list every image, got none for 'a'. Add 'a,train' (or val, test, unlabelled)."
    )


def test_all_problems_are_collected(read):
    _, problems = read(b"name,split\nx,train\ny,train\na,often\n")
    assert len(problems) == 4
