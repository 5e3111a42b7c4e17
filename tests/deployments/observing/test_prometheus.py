"""Which numbers of a page of Prometheus text are meant."""

from __future__ import annotations

import pytest

from seatrial.deployments.observing import prometheus
from seatrial.errors import UsageError

PAGE = r"""# HELP tokens_total Tokens that were made.
# TYPE tokens_total counter
tokens_total{model="a",note="it said \"{}, # 1\"\nand \\ more"} 1027 1395066363000
tokens_total{ model = "b" , note="" , } 3
tokens_total{model="c"} NaN
tokens_total_created{model="a"} 1.7e9
# TYPE queue gauge
queue 4
queue_longest +Inf
  spaced{a="1"}   -2.5e-3
# TYPE wait_seconds histogram
wait_seconds_bucket{le="0.1"} 8 # {trace="x"} 0.05 1.5e9
wait_seconds_bucket{le="+Inf"} 9
wait_seconds_sum 1.25
wait_seconds_count 9
# TYPE requests counter
requests_total 77
requests_total{broken 12
not a line at all {{{
queue{a="b"} twelve
# EOF
"""


@pytest.mark.parametrize(
    ("series", "values", "counts"),
    [
        ("tokens_total", [1027, 3], True),
        ('tokens_total{model="a"}', [1027], True),
        (r'tokens_total{note="it said \"{}, # 1\"\nand \\ more"}', [1027], True),
        ('tokens_total{model!="a"}', [3], True),
        ('tokens_total{model=~"a|b", note!~".+"}', [3], True),
        ('tokens_total{model=~"a."}', [], True),
        ('tokens_total{other=""}', [1027, 3], True),
        ("queue", [4], False),
        ("queue_longest", [], False),
        ("spaced", [-0.0025], False),
        ('wait_seconds_bucket{le="0.1"}', [8], True),
        ("wait_seconds_sum", [1.25], True),
        ("wait_seconds_count", [9], True),
        ("requests_total", [77], True),
        ("tokens", [], False),
        ("nothing", [], False),
    ],
)
def test_series(series: str, values: list[float], counts: bool) -> None:
    found = prometheus.find(PAGE, prometheus.selector(series))
    assert [one.value for one in found.samples] == values
    assert found.counts == counts


@pytest.mark.parametrize(
    "text", ["", "{a='b'}", "rate(x[5m])", "a{b=c}", 'a{b="c"', "9a", 'a{b=~"("}', 'a{b="c"} by (x)']
)
def test_what_names_no_series_is_refused(text: str) -> None:
    with pytest.raises(UsageError):
        prometheus.selector(text)
