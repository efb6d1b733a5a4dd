import subprocess
import sys
import textwrap


def run_python(code: str) -> str:
    finished = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(code)], capture_output=True, text=True, timeout=120, check=False
    )
    assert finished.returncode == 0, finished.stderr
    return finished.stdout.strip()


def test_one_exchange_class_is_loaded_without_the_others_and_without_the_packages_themselves():
    printed = run_python(
        """
        import sys
        from fks_assets.exchanges.ccxt_loader import load_exchange_class
        assert load_exchange_class("binance")().id == "binance"
        exchanges = {m.split(".")[2] for m in sys.modules if m.startswith("ccxt.async_support.")} - {"base"}
        print(exchanges, "ccxt" in sys.modules, "ccxt.async_support" in sys.modules)
        """
    )
    assert printed == "{'binance'} False False"


def test_a_later_full_import_is_whole_and_shares_classes_and_errors():
    printed = run_python(
        """
        from fks_assets.exchanges.ccxt_loader import load_errors, load_exchange_class
        kraken = load_exchange_class("kraken")
        import ccxt
        import ccxt.async_support
        assert len(ccxt.exchanges) > 50 and ccxt.binance().id == "binance"
        print(
            ccxt.async_support.kraken is kraken,
            ccxt.RateLimitExceeded is load_errors().RateLimitExceeded,
            ccxt.async_support.binance().id,
            load_exchange_class("binance") is ccxt.async_support.binance,
        )
        """
    )
    assert printed == "True True binance True"


def test_threads_that_load_at_once_get_the_same_class():
    printed = run_python(
        """
        from concurrent.futures import ThreadPoolExecutor
        from fks_assets.exchanges.ccxt_loader import load_exchange_class
        with ThreadPoolExecutor(8) as pool:
            classes = list(pool.map(load_exchange_class, ["binance", "kraken"] * 8))
        print(len(set(classes)), sorted({c.__name__ for c in classes}))
        """
    )
    assert printed == "2 ['binance', 'kraken']"


def test_when_a_class_cannot_be_imported_alone_the_whole_of_ccxt_is_imported():
    printed = run_python(
        """
        import sys
        from fks_assets.exchanges import ccxt_loader
        install = ccxt_loader._install_empty_packages
        def install_and_fail():
            install()
            raise ImportError("ccxt now wants another name from its package")
        ccxt_loader._install_empty_packages = install_and_fail
        loaded = ccxt_loader.load_exchange_class("binance")
        import ccxt.async_support
        print(loaded is ccxt.async_support.binance, len(ccxt.exchanges) > 50)
        """
    )
    assert printed == "True True"


def test_ccxt_logs_no_request():
    printed = run_python(
        """
        import logging
        from fks_assets.exchanges.ccxt_loader import load_exchange_class
        logging.basicConfig(level=logging.DEBUG)
        exchange = load_exchange_class("binance")()
        print(exchange.logger.isEnabledFor(logging.INFO), exchange.logger.isEnabledFor(logging.WARNING))
        """
    )
    assert printed == "False True"
