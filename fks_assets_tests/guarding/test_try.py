from fks_assets_tests.guarding.guarded_desk import *
from fks_assets_tests.orders.trading_desk import trading_desk
import pytest
@pytest.mark.parametrize("dialect", ["binance","kraken"])
def test_try(database, dialect):
    with trading_desk(database, dialect) as desk:
        deal = enter(desk, target="1.05")
        print(guard(desk))
        print(stop_of(desk, deal), faults_of(desk), [(o.leg, o.status) for o in desk.orders()])
        print(guard(desk))
        print(desk.simulator.orders()[0])
        leave(desk, deal); print(guard(desk)); print(told_of(desk), position_of(desk, deal))
        desk.check_books()
