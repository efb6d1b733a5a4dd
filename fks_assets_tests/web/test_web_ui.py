"""The web UI of a whole desk, driven in a headless Chromium as a newcomer would: graph, materialisation, candle chart."""

import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import quote
from urllib.request import urlopen

import pyarrow as pa
import pytest
from selenium import webdriver
from selenium.common.exceptions import StaleElementReferenceException
from selenium.webdriver.chrome.options import Options
from selenium.webdriver.chrome.service import Service
from selenium.webdriver.common.by import By
from selenium.webdriver.remote.webelement import WebElement
from selenium.webdriver.support.ui import WebDriverWait

from fks_assets.assets.market_data.gap_ledger import update_gaps
from fks_assets.clock import now_ms
from fks_assets.quant.gaps import GapStatus
from fks_assets.quant.markets import parse_market
from fks_assets.quant.timeframes import month_of, parse_timeframe
from fks_assets.resources.stores import Stores
from fks_assets.settings import read_settings
from fks_assets.stores.candles import PartitionId
from fks_assets.stores.gap_records import OPEN, read_gaps

CHROMIUM, DRIVER = (shutil.which(name) for name in ("chromium", "chromedriver"))
pytestmark = [
    pytest.mark.web,
    pytest.mark.skipif(
        not (CHROMIUM and DRIVER),
        reason="chromium and chromedriver are not installed (Debian: apt-get install chromium chromium-driver)",
    ),
]
FLAGS = [
    "--headless=new",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--disable-dev-shm-usage",
    "--window-size=1700,1100",
]
PATIENCE_SECONDS = 120


@pytest.fixture(scope="module")
def environment(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    return {
        **os.environ,
        "FKS_HOME": str(tmp_path_factory.mktemp("desk") / "home"),
        "FKS_EXCHANGES__simulated__url": f"http://127.0.0.1:{_free_port()}",
        "FKS_REPORTS_PORT": str(_free_port()),
        "FKS_HISTORY_DAYS__5m": "1",
        "FKS_HISTORY_DAYS__1h": "5",
        "FKS_HISTORY_DAYS__1d": "5",
    }


@pytest.fixture(scope="module")
def desk_url(environment: dict[str, str]) -> Iterator[str]:
    """A whole desk of this test alone, without its first load, so that the test finds the partition missing."""
    home = Path(environment["FKS_HOME"])
    port = _free_port()
    log = (home.parent / "up.log").open("w+")
    command = [sys.executable, "-m", "fks_assets.cli", "up", "--no-load", "--port", str(port)]
    process = subprocess.Popen(command, env=environment, stdin=subprocess.DEVNULL, stdout=log, stderr=subprocess.STDOUT)
    try:
        url = f"http://127.0.0.1:{port}"
        _wait_until_served(url, process, home.parent / "up.log")
        yield url
    finally:
        process.send_signal(signal.SIGINT)
        process.wait(90)
        log.close()


@pytest.fixture(scope="module")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[webdriver.Chrome]:
    options = Options()
    options.binary_location = CHROMIUM or ""
    for flag in (*FLAGS, f"--user-data-dir={tmp_path_factory.mktemp('chromium')}"):
        options.add_argument(flag)
    driver = webdriver.Chrome(options=options, service=Service(DRIVER))
    yield driver
    driver.quit()


def test_the_asset_graph_shows_the_chain_from_candles_to_signals(
    desk_url: str, browser: webdriver.Chrome, tmp_path: Path
) -> None:
    browser.get(f"{desk_url}/asset-groups?expanded=market_data,analysis,operations")
    page = _until(browser, lambda: _page_with(browser, "market_data", "analysis", "operations"))
    assert "Error" not in page
    assert browser.save_screenshot(str(tmp_path / "graph.png"))


def test_a_partition_materialised_in_the_web_ui_shows_its_candle_chart(
    desk_url: str, browser: webdriver.Chrome, tmp_path: Path
) -> None:
    partition = f"BTC-USDT@simulated|{month_of(now_ms())}"
    address = f"{desk_url}/assets/ohlcv_1h?view=partitions&partition={quote(partition, safe='')}"
    browser.get(address)
    _until(browser, lambda: _page_with(browser, partition))
    _until(browser, lambda: _button(browser, "Materialize")).click()
    _until(browser, lambda: _button(browser, "Launch")).click()
    _until(browser, lambda: _page_with(browser, "SIMULATED", "content hash") or _reload(browser, address))
    _until(browser, lambda: _element(browser, "//*[text()='[Show Markdown]']")).click()
    chart = _until(browser, lambda: _element(browser, "//img[starts-with(@src, 'data:image/svg+xml')]"))
    shown = "return arguments[0].complete && arguments[0].naturalWidth"
    _until(browser, lambda: browser.execute_script(shown, chart))
    assert browser.execute_script(shown, chart) >= 400
    assert browser.save_screenshot(str(tmp_path / "chart.png"))


def test_a_repair_launched_in_the_web_ui_empties_the_ledger(
    desk_url: str, browser: webdriver.Chrome, environment: dict[str, str]
) -> None:
    """D5: materialising the month of a hole is its repair. The runs of the gap sensor are told apart by what triggered them."""
    settings = read_settings(environment, Path(environment["FKS_HOME"]))
    stores = Stores(settings)
    market, hour = parse_market("BTC-USDT@simulated"), parse_timeframe("1h")
    month = month_of(now_ms())
    partition = PartitionId("ohlcv", market, "1h", month)
    holes = stores.candles.heads("ohlcv", "1h", [market])[partition].holes
    with stores.candles.begin([partition]) as transaction:
        rows = transaction.read(partition).drop_columns(["known_at"])
        # Enough candles follow the hole, so that the exchange has nothing left to settle.
        kept = pa.concat_tables([rows.slice(0, rows.num_rows - 12), rows.slice(rows.num_rows - 9)])
        transaction.merge(partition, kept, known_at_ms=now_ms(), replace=True)
        # In the same transaction, so that the desk's own sensor cannot come first.
        written = {partition: transaction.head(partition)}
        gaps = update_gaps(stores, [market], hour, connection=transaction.connection, heads=written)
    gaps = [gap for gap in gaps if gap.is_api_fillable]
    assert sum(gap.missing_candles for gap in gaps) >= 3
    assert {gap.status for gap in gaps} == {GapStatus.DETECTED}

    browser.get(f"{desk_url}/assets/ohlcv_1h?view=partitions&partition={quote(partition.key, safe='')}")
    _until(browser, lambda: _page_with(browser, partition.key))
    _until(browser, lambda: _button(browser, "Materialize")).click()
    _until(browser, lambda: _button(browser, "Launch")).click()

    def ended() -> bool:
        listed = subprocess.run(
            [sys.executable, "-m", "fks_assets.cli", "runs", "--json"],
            env=environment,
            capture_output=True,
            text=True,
            check=True,
        )
        runs = json.loads(listed.stdout)["runs"]
        return sum(run["trigger"] in ("person", "backfill") and run["status"] == "SUCCESS" for run in runs) >= 2

    _until(browser, ended, every_seconds=3)
    assert [each for each in read_gaps(stores.database, [market], [hour], OPEN) if each.is_api_fillable] == []
    assert stores.candles.heads("ohlcv", "1h", [market])[partition].holes == holes
    stores.database.engine.dispose()


def _until(browser: webdriver.Chrome, condition, every_seconds: float = 0.5):
    # The page redraws itself while it is looked at.
    wait = WebDriverWait(browser, PATIENCE_SECONDS, every_seconds, [StaleElementReferenceException])
    return wait.until(lambda _: condition())


def _reload(browser: webdriver.Chrome, address: str) -> None:
    time.sleep(4)
    browser.get(address)
    time.sleep(4)


def _page_with(browser: webdriver.Chrome, *words: str) -> str | None:
    page = browser.find_element(By.TAG_NAME, "body").text
    return page if all(word in page for word in words) else None


def _button(browser: webdriver.Chrome, text: str) -> WebElement | None:
    return _element(browser, f"//button[starts-with(normalize-space(.), '{text}')]")


def _element(browser: webdriver.Chrome, path: str) -> WebElement | None:
    found = [element for element in browser.find_elements(By.XPATH, path) if element.is_displayed() and element.is_enabled()]
    return found[-1] if found else None


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def _wait_until_served(url: str, process: subprocess.Popen[bytes], log: Path) -> None:
    deadline = time.monotonic() + PATIENCE_SECONDS
    while time.monotonic() < deadline:
        assert process.poll() is None, log.read_text()
        try:
            with urlopen(f"{url}/server_info", timeout=5):
                if "is up" in log.read_text():
                    return
        except OSError:
            pass
        time.sleep(1)
    raise AssertionError(f"no desk at {url}: {log.read_text()}")
