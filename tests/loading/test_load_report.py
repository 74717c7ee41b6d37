"""What a load counts beside the rows."""

from support.raw_shop import Shop, lines

REPORT = "select source_file, measure, item, line_count, amount from raw.load_report order by all"


def test_lines_a_rule_matched(shop: Shop) -> None:
    shop.configure(
        table="    exclude:\n"
        "      - {reason: test, when: customer_id = 't'}\n"
        "    line_type:\n"
        "      - {type: adjustment, when: amount = 5}\n"
    )
    shop.put("f.csv", lines("t,2024-01-02,1", "t,2024-01-02,2", "a,2024-01-02,5", "a,2024-01-02,9"))
    shop.load()
    report = [(f, m, item, count, float(amount)) for f, m, item, count, amount in shop.rows(REPORT)]
    assert report == [
        ("f.csv", "exclude", "1: test", 2, 3),
        ("f.csv", "line_type", "1: adjustment", 1, 5),
    ]
    shop.put("f.csv", lines("a,2024-01-02,9"))
    shop.load()
    assert shop.rows(REPORT) == [
        ("f.csv", "exclude", "1: test", 0, None),
        ("f.csv", "line_type", "1: adjustment", 0, None),
    ]
