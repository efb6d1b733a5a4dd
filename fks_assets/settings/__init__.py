"""Settings of the desk."""

from fks_assets.settings.desk import PROJECT_ROOT, Settings
from fks_assets.settings.reading import SHIPPED_DESK, load_settings, read_settings
from fks_assets.settings.sections import MarketSettings

__all__ = ["PROJECT_ROOT", "SHIPPED_DESK", "MarketSettings", "Settings", "load_settings", "read_settings"]
