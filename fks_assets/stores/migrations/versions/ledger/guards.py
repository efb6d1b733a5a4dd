"""What no check of one row can keep: rows that only ever come, sums that are zero, changes of an order that are legal."""

FUNCTIONS = (
    "ledger_append_only()",
    "ledger_order_guard()",
    "ledger_journal_has_entries()",
    "ledger_entries_sum_to_zero()",
    "ledger_wallets_follow()",
    "ledger_wallets_guard()",
    "ledger_order_sums()",
    "ledger_position_sums()",
    "ledger_fill_is_booked()",
    "ledger_check_order(bigint)",
    "ledger_check_position(bigint)",
)
STATEMENTS = (
    """
    CREATE FUNCTION ledger_append_only() RETURNS trigger LANGUAGE plpgsql AS $$
    BEGIN
        RAISE EXCEPTION 'rows of % are only ever added', TG_TABLE_NAME USING ERRCODE = 'integrity_constraint_violation';
    END $$
    """,
    *(
        f"CREATE TRIGGER append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON {table} EXECUTE FUNCTION ledger_append_only()"
        for table in ("account_events", "order_events", "fills", "journal", "journal_entries", "halts")
    ),
    "CREATE TRIGGER never_deleted BEFORE DELETE OR TRUNCATE ON deals EXECUTE FUNCTION ledger_append_only()",
    "CREATE TRIGGER never_deleted BEFORE DELETE OR TRUNCATE ON orders EXECUTE FUNCTION ledger_append_only()",
    "CREATE TRIGGER never_deleted BEFORE DELETE OR TRUNCATE ON positions EXECUTE FUNCTION ledger_append_only()",
    # The same table as quant/orders.py TRANSITIONS and FILL_TRANSITIONS; a test holds the two equal.
    """
    CREATE FUNCTION ledger_order_guard() RETURNS trigger LANGUAGE plpgsql AS $$
    DECLARE
        legal CONSTANT text[] := ARRAY[
            'INTENT SUBMITTING', 'INTENT DENIED',
            'SUBMITTING UNKNOWN', 'SUBMITTING OPEN', 'SUBMITTING CANCELED', 'SUBMITTING REJECTED', 'SUBMITTING EXPIRED',
            'SUBMITTING DENIED',
            'UNKNOWN OPEN', 'UNKNOWN CANCELED', 'UNKNOWN REJECTED', 'UNKNOWN EXPIRED', 'UNKNOWN ABSENT',
            'OPEN CANCELED', 'OPEN REJECTED', 'OPEN EXPIRED',
            'PARTIALLY_FILLED CANCELED', 'PARTIALLY_FILLED EXPIRED'];
        by_fills CONSTANT text[] := ARRAY[
            'SUBMITTING PARTIALLY_FILLED', 'SUBMITTING FILLED', 'UNKNOWN PARTIALLY_FILLED', 'UNKNOWN FILLED',
            'OPEN PARTIALLY_FILLED', 'OPEN FILLED', 'PARTIALLY_FILLED PARTIALLY_FILLED', 'PARTIALLY_FILLED FILLED',
            'CANCELED CANCELED', 'CANCELED FILLED', 'EXPIRED EXPIRED', 'EXPIRED FILLED',
            'REJECTED PARTIALLY_FILLED', 'REJECTED FILLED', 'ABSENT PARTIALLY_FILLED', 'ABSENT FILLED'];
        change CONSTANT text := OLD.status || ' ' || NEW.status;
    BEGIN
        IF NEW.executed_quantity <> OLD.executed_quantity OR NEW.executed_sum <> OLD.executed_sum THEN
            IF NEW.executed_quantity <= OLD.executed_quantity OR NEW.executed_sum < OLD.executed_sum THEN
                RAISE EXCEPTION 'order %: what was executed never shrinks', OLD.id USING ERRCODE = 'integrity_constraint_violation';
            ELSIF NOT change = ANY (by_fills) THEN
                RAISE EXCEPTION 'order %: no fill makes % of %', OLD.id, NEW.status, OLD.status
                    USING ERRCODE = 'integrity_constraint_violation';
            END IF;
        ELSIF NEW.status <> OLD.status AND NOT change = ANY (legal) THEN
            RAISE EXCEPTION 'order %: % does not become %', OLD.id, OLD.status, NEW.status
                USING ERRCODE = 'integrity_constraint_violation';
        END IF;
        IF (NEW.deal_id, NEW.account, NEW.exchange, NEW.market, NEW.client_order_id, NEW.leg, NEW.generation, NEW.side, NEW.epoch,
            NEW.created_at, NEW.replaces)
            IS DISTINCT FROM (OLD.deal_id, OLD.account, OLD.exchange, OLD.market, OLD.client_order_id, OLD.leg, OLD.generation,
            OLD.side, OLD.epoch, OLD.created_at, OLD.replaces)
            OR (OLD.leg <> 'external' AND (NEW.type, NEW.price, NEW.stop_price, NEW.reference_price, NEW.quantity)
                IS DISTINCT FROM (OLD.type, OLD.price, OLD.stop_price, OLD.reference_price, OLD.quantity))
            OR (OLD.exchange_order_id IS NOT NULL AND NEW.exchange_order_id IS DISTINCT FROM OLD.exchange_order_id)
            OR (OLD.submitted_at IS NOT NULL AND NEW.submitted_at IS DISTINCT FROM OLD.submitted_at)
        THEN
            RAISE EXCEPTION 'order %: what was written before it was sent never changes', OLD.id
                USING ERRCODE = 'integrity_constraint_violation';
        END IF;
        RETURN NEW;
    END $$
    """,
    "CREATE TRIGGER order_guard BEFORE UPDATE ON orders FOR EACH ROW EXECUTE FUNCTION ledger_order_guard()",
    """
    CREATE FUNCTION ledger_journal_has_entries() RETURNS trigger LANGUAGE plpgsql AS $$
    BEGIN
        IF NOT EXISTS (SELECT FROM journal_entries WHERE journal_id = NEW.id) THEN
            RAISE EXCEPTION 'journal % has no entries', NEW.id USING ERRCODE = 'integrity_constraint_violation';
        END IF;
        IF NEW.deal_id IS NOT NULL THEN
            PERFORM ledger_check_position(NEW.deal_id);
        END IF;
        RETURN NULL;
    END $$
    """,
    """
    CREATE CONSTRAINT TRIGGER has_entries AFTER INSERT ON journal DEFERRABLE INITIALLY DEFERRED
    FOR EACH ROW EXECUTE FUNCTION ledger_journal_has_entries()
    """,
    """
    CREATE FUNCTION ledger_entries_sum_to_zero() RETURNS trigger LANGUAGE plpgsql AS $$
    DECLARE
        total numeric;
    BEGIN
        SELECT sum(amount) INTO total FROM journal_entries WHERE journal_id = NEW.journal_id AND currency = NEW.currency;
        IF total <> 0 THEN
            RAISE EXCEPTION 'journal %: the entries in % sum to %, not 0', NEW.journal_id, NEW.currency, trim_scale(total)
                USING ERRCODE = 'integrity_constraint_violation';
        END IF;
        RETURN NULL;
    END $$
    """,
    """
    CREATE CONSTRAINT TRIGGER sum_to_zero AFTER INSERT ON journal_entries DEFERRABLE INITIALLY DEFERRED
    FOR EACH ROW EXECUTE FUNCTION ledger_entries_sum_to_zero()
    """,
    """
    CREATE FUNCTION ledger_wallets_follow() RETURNS trigger LANGUAGE plpgsql AS $$
    BEGIN
        INSERT INTO wallets AS w (account, currency, amount, short_since)
        SELECT j.account, e.currency, sum(e.amount), CASE WHEN sum(e.amount) < 0 THEN max(j.at) END
        FROM entries e JOIN journal j ON j.id = e.journal_id WHERE e.book = 'wallet'
        GROUP BY j.account, e.currency ORDER BY j.account COLLATE "C", e.currency COLLATE "C"
        ON CONFLICT (account, currency) DO UPDATE SET amount = w.amount + excluded.amount,
            short_since = CASE WHEN w.amount + excluded.amount < 0 THEN coalesce(w.short_since, excluded.short_since) END;
        RETURN NULL;
    END $$
    """,
    """
    CREATE TRIGGER wallets_follow AFTER INSERT ON journal_entries REFERENCING NEW TABLE AS entries
    FOR EACH STATEMENT EXECUTE FUNCTION ledger_wallets_follow()
    """,
    """
    CREATE FUNCTION ledger_wallets_guard() RETURNS trigger LANGUAGE plpgsql AS $$
    BEGIN
        IF pg_trigger_depth() < 2 THEN
            RAISE EXCEPTION 'wallets change by journal entries alone' USING ERRCODE = 'integrity_constraint_violation';
        END IF;
        RETURN NULL;
    END $$
    """,
    """
    CREATE TRIGGER wallets_guard BEFORE INSERT OR UPDATE OR DELETE OR TRUNCATE ON wallets
    EXECUTE FUNCTION ledger_wallets_guard()
    """,
    """
    CREATE FUNCTION ledger_check_order(checked bigint) RETURNS void LANGUAGE plpgsql AS $$
    DECLARE
        stored record;
        summed record;
    BEGIN
        SELECT executed_quantity AS quantity, executed_sum AS value INTO stored FROM orders WHERE id = checked;
        SELECT coalesce(sum(quantity), 0) AS quantity, coalesce(sum(value), 0) AS value INTO summed FROM fills WHERE order_id = checked;
        IF stored.quantity <> summed.quantity OR stored.value <> summed.value THEN
            RAISE EXCEPTION 'order % says % executed for %, its fills are % for %', checked, trim_scale(stored.quantity),
                trim_scale(stored.value), trim_scale(summed.quantity), trim_scale(summed.value)
                USING ERRCODE = 'integrity_constraint_violation';
        END IF;
    END $$
    """,
    """
    CREATE FUNCTION ledger_check_position(checked bigint) RETURNS void LANGUAGE plpgsql AS $$
    DECLARE
        stored positions;
        base text;
        quote text;
        agrees boolean;
    BEGIN
        SELECT * INTO stored FROM positions WHERE deal_id = checked;
        IF NOT FOUND THEN
            RAISE EXCEPTION 'deal % has fills and no position', checked USING ERRCODE = 'integrity_constraint_violation';
        END IF;
        base := split_part(stored.market, '-', 1);
        quote := split_part(split_part(stored.market, '@', 1), '-', 2);
        SELECT stored.bought_quantity = coalesce(sum(f.quantity) FILTER (WHERE f.side = 'BUY'), 0)
            AND stored.bought_sum = coalesce(sum(f.value) FILTER (WHERE f.side = 'BUY'), 0)
            AND stored.sold_quantity = coalesce(sum(f.quantity) FILTER (WHERE f.side = 'SELL'), 0)
            AND stored.sold_sum = coalesce(sum(f.value) FILTER (WHERE f.side = 'SELL'), 0)
            AND stored.fees_quote = coalesce(sum(f.fee) FILTER (WHERE f.fee_currency = quote), 0)
            AND stored.fee_base = coalesce(sum(f.fee) FILTER (WHERE f.fee_currency = base), 0)
        INTO agrees FROM orders o JOIN fills f ON f.order_id = o.id WHERE o.deal_id = checked;
        IF NOT agrees OR stored.dust_quantity <> (
            SELECT coalesce(-sum(e.amount), 0) FROM journal j JOIN journal_entries e ON e.journal_id = j.id
            WHERE j.deal_id = checked AND e.book = 'dust' AND e.currency = base)
        THEN
            RAISE EXCEPTION 'the position of deal % is not the sum of its fills', checked
                USING ERRCODE = 'integrity_constraint_violation';
        END IF;
    END $$
    """,
    """
    CREATE FUNCTION ledger_order_sums() RETURNS trigger LANGUAGE plpgsql AS $$
    BEGIN
        PERFORM ledger_check_order(NEW.id);
        RETURN NULL;
    END $$
    """,
    """
    CREATE CONSTRAINT TRIGGER order_sums AFTER UPDATE OF executed_quantity, executed_sum ON orders DEFERRABLE INITIALLY DEFERRED
    FOR EACH ROW EXECUTE FUNCTION ledger_order_sums()
    """,
    """
    CREATE CONSTRAINT TRIGGER new_order_sums AFTER INSERT ON orders DEFERRABLE INITIALLY DEFERRED
    FOR EACH ROW WHEN (NEW.executed_quantity <> 0) EXECUTE FUNCTION ledger_order_sums()
    """,
    """
    CREATE FUNCTION ledger_position_sums() RETURNS trigger LANGUAGE plpgsql AS $$
    BEGIN
        PERFORM ledger_check_position(NEW.deal_id);
        RETURN NULL;
    END $$
    """,
    """
    CREATE CONSTRAINT TRIGGER position_sums AFTER INSERT OR UPDATE OF bought_quantity, bought_sum, sold_quantity, sold_sum, fees_quote,
        fee_base, dust_quantity ON positions DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION ledger_position_sums()
    """,
    """
    CREATE FUNCTION ledger_fill_is_booked() RETURNS trigger LANGUAGE plpgsql AS $$
    DECLARE
        deal bigint;
        way CONSTANT int := CASE NEW.side WHEN 'BUY' THEN 1 ELSE -1 END;
        booked int;
    BEGIN
        SELECT count(*) INTO booked FROM journal j JOIN journal_entries e ON e.journal_id = j.id
        WHERE j.fill_id = NEW.id AND j.account = NEW.account AND e.book = 'market' AND (
            (e.currency = split_part(NEW.market, '-', 1) AND e.amount = -way * NEW.quantity)
            OR (e.currency = split_part(split_part(NEW.market, '@', 1), '-', 2) AND e.amount = way * NEW.value));
        IF booked <> (CASE WHEN NEW.value = 0 THEN 1 ELSE 2 END) THEN
            RAISE EXCEPTION 'fill % is not in the journal', NEW.id USING ERRCODE = 'integrity_constraint_violation';
        END IF;
        PERFORM ledger_check_order(NEW.order_id);
        SELECT deal_id INTO deal FROM orders WHERE id = NEW.order_id;
        IF deal IS NOT NULL THEN
            PERFORM ledger_check_position(deal);
        END IF;
        RETURN NULL;
    END $$
    """,
    """
    CREATE CONSTRAINT TRIGGER is_booked AFTER INSERT ON fills DEFERRABLE INITIALLY DEFERRED
    FOR EACH ROW EXECUTE FUNCTION ledger_fill_is_booked()
    """,
)
