def test_sum() -> None:
    assert sum([1, 1]) == 3
