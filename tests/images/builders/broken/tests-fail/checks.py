# ruff: noqa: ANN201, PT009 - a project of its own

import unittest


class Sum(unittest.TestCase):
    def test_sum(self):
        self.assertEqual(1 + 1, 3)
