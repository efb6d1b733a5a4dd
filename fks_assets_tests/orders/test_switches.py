"""Three switches between the desk and real money."""

import itertools

import pytest

from fks_assets.desk.switches import LIVE_VARIABLE, Switches, read_switches, trading_mode
from fks_assets.errors import Denied
from fks_assets.quant.orders import Mode


@pytest.mark.parametrize(("settings", "account", "environment"), list(itertools.product([True, False], repeat=3)))
def test_only_one_of_eight_combinations_is_live(settings: bool, account: bool, environment: bool):
    """O6: and one whose settings say live never becomes paper; it does not trade and says what is missing."""
    mode = Mode.LIVE if settings else Mode.PAPER
    switches = read_switches(mode, account, {LIVE_VARIABLE: "yes"} if environment else {})
    if settings and account and environment:
        assert trading_mode("main", mode, switches) is Mode.LIVE
    elif settings:
        with pytest.raises(Denied, match="missing") as caught:
            trading_mode("main", mode, switches)
        assert ("enable-live main" in str(caught.value)) is not account
        assert (LIVE_VARIABLE in str(caught.value)) is not environment
    else:
        assert trading_mode("main", mode, switches) is Mode.PAPER


@pytest.mark.parametrize("word", ["", "no", "1", "true", "YES", "yes ", "ja"])
def test_anything_but_yes_in_the_environment_is_no(word: str):
    """O6: the default is dry."""
    assert read_switches(Mode.LIVE, True, {LIVE_VARIABLE: word}) == Switches(True, True, False)


@pytest.mark.parametrize("mode", [Mode.PAPER, Mode.ALERT])
def test_an_account_that_is_not_live_by_its_settings_stays_what_it_is(mode: Mode):
    """O6: the other two switches alone do nothing."""
    assert trading_mode("main", mode, read_switches(mode, True, {LIVE_VARIABLE: "yes"})) is mode
