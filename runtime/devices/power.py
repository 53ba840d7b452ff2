"""What one byte on the border's channel "power" asks for, on every board."""

from __future__ import annotations

PRESS_BUTTON, RESET, CUT_POWER = 1, 2, 3
