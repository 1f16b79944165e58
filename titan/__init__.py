"""The kernel that every Titan actor shares. It never imports Ray, nor anything one actor alone uses."""

__version__ = "0.1.0"
