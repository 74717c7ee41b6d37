"""On which line of a file each record stands."""

from hypothesis import given
from hypothesis import strategies as st

from dagster_project.loading.lines import number_lines


@given(st.data())
def test_number_lines_as_a_plain_walk_does(data: st.DataObject) -> None:
    """Lay out random records, blanks and refused lines; every record must be found again."""
    header = data.draw(st.integers(0, 1))
    pieces = data.draw(st.lists(st.sampled_from(["record", "breaks", "blank inside", "other"])))
    line, record = header, 0
    expected, breaks, others = {}, [], []
    for piece in pieces:
        line += 1
        if piece == "other":
            others.append(line)
            continue
        record += 1
        expected[record] = line
        if piece != "record":
            breaks.append((record, 2))
            others += [line + 1] if piece == "blank inside" else []
            line += 2
    numbers = number_lines(header, breaks, others)
    assert {one: numbers.line_of(one) for one in expected} == expected
    assert record + 2 * len(breaks) + numbers.other_count + header == line
