"""Addresses and numbers of persons in the shapes that people write them."""

CONTACTS = [
    "jane.roe@example.org", "JOHN＠example.com", "+49 30 1234567", "+1 (415) 555-2671",
    "0044 20 7946 0958", "030-12345678", "0171/1234567", "(415) 555-2671", "415-555-2671",
    "415.555.2671", "06 12 34 56 78", "13800138000", "138-0013-8000", "8613800138001",
    "tel:+4930123456", "wxid_ab12cd34", "11010519900307123X",
]  # fmt: skip
