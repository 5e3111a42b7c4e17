"""What this machine has, whether it really works, what it is for, and how to get the rest."""

from __future__ import annotations

from seatrial.doctor.examine import CHECKS, Check, Report, Result, examine

__all__ = ["CHECKS", "Check", "Report", "Result", "examine"]
