"""Journal, wallets, positions, stops, balances, halts, fences, heartbeats, reconciliations."""

STATEMENTS = (
    r"""
    CREATE TABLE journal (
        id BIGINT GENERATED ALWAYS AS IDENTITY,
        account TEXT NOT NULL,
        kind TEXT NOT NULL,
        reference TEXT NOT NULL,
        fill_id BIGINT,
        deal_id BIGINT,
        at TIMESTAMP WITH TIME ZONE NOT NULL,
        booked_by TEXT NOT NULL,
        note TEXT DEFAULT '' NOT NULL,
        CONSTRAINT pk_journal PRIMARY KEY (id),
        CONSTRAINT ck_journal_kind_known CHECK (kind IN ('fill', 'deposit', 'withdrawal', 'adjustment', 'dust', 'funding')),
        CONSTRAINT ck_journal_reference_form CHECK (reference <> ''),
        CONSTRAINT ck_journal_fill_of_kind CHECK ((kind = 'fill') = (fill_id IS NOT NULL)),
        CONSTRAINT ck_journal_deal_of_dust CHECK ((kind = 'dust') = (deal_id IS NOT NULL)),
        CONSTRAINT ck_journal_booked_by_someone CHECK (booked_by <> ''),
        CONSTRAINT uq_journal_account UNIQUE (account, reference),
        CONSTRAINT fk_journal_account FOREIGN KEY(account) REFERENCES accounts (name),
        CONSTRAINT uq_journal_fill_id UNIQUE (fill_id),
        CONSTRAINT fk_journal_fill_id FOREIGN KEY(fill_id) REFERENCES fills (id),
        CONSTRAINT fk_journal_deal_id FOREIGN KEY(deal_id) REFERENCES deals (id)
    )
    """,
    "CREATE INDEX ix_journal_account_at ON journal (account, at)",
    "CREATE INDEX ix_journal_deal_id ON journal (deal_id)",
    "COMMENT ON TABLE journal IS 'Bookings; the entries of each sum to 0 in every currency; rows are only ever added'",
    "COMMENT ON COLUMN journal.reference IS 'what was booked, once for each account'",
    "COMMENT ON COLUMN journal.deal_id IS 'of dust'",
    r"""
    CREATE TABLE journal_entries (
        journal_id BIGINT NOT NULL,
        book TEXT NOT NULL,
        currency TEXT NOT NULL,
        amount NUMERIC(38, 18) NOT NULL,
        CONSTRAINT pk_journal_entries PRIMARY KEY (journal_id, book, currency),
        CONSTRAINT ck_journal_entries_book_known CHECK (book IN ('wallet', 'market', 'fees', 'external', 'dust')),
        CONSTRAINT ck_journal_entries_currency_form CHECK (currency ~ '^[A-Z0-9]{1,20}$'),
        CONSTRAINT ck_journal_entries_amount_is_something CHECK (amount <> 0 AND amount <> 'NaN'),
        CONSTRAINT fk_journal_entries_journal_id FOREIGN KEY(journal_id) REFERENCES journal (id)
    )
    """,
    "COMMENT ON TABLE journal_entries IS 'Double entry; rows are only ever added'",
    "COMMENT ON COLUMN journal_entries.book IS 'wallet, market, fees, external or dust'",
    "COMMENT ON COLUMN journal_entries.amount IS 'above 0: comes into the book'",
    r"""
    CREATE TABLE wallets (
        account TEXT NOT NULL,
        currency TEXT NOT NULL,
        amount NUMERIC(38, 18) NOT NULL,
        short_since TIMESTAMP WITH TIME ZONE,
        CONSTRAINT pk_wallets PRIMARY KEY (account, currency),
        CONSTRAINT ck_wallets_numbers_are_numbers CHECK (amount <> 'NaN'),
        CONSTRAINT ck_wallets_currency_form CHECK (currency ~ '^[A-Z0-9]{1,20}$'),
        CONSTRAINT ck_wallets_never_short_unseen CHECK ((amount < 0) = (short_since IS NOT NULL)),
        CONSTRAINT fk_wallets_account FOREIGN KEY(account) REFERENCES accounts (name)
    )
    """,
    "COMMENT ON TABLE wallets IS 'What each account owns; a trigger adds every entry'",
    "COMMENT ON COLUMN wallets.amount IS 'sum of the account''s entries in the book wallet'",
    "COMMENT ON COLUMN wallets.short_since IS 'set while the amount is below 0: something is not booked yet'",
    r"""
    CREATE TABLE positions (
        deal_id BIGINT NOT NULL,
        account TEXT NOT NULL,
        strategy TEXT NOT NULL,
        market TEXT NOT NULL,
        side TEXT NOT NULL,
        bought_quantity NUMERIC(38, 18) DEFAULT '0' NOT NULL,
        bought_sum NUMERIC(38, 18) DEFAULT '0' NOT NULL,
        sold_quantity NUMERIC(38, 18) DEFAULT '0' NOT NULL,
        sold_sum NUMERIC(38, 18) DEFAULT '0' NOT NULL,
        fees_quote NUMERIC(38, 18) DEFAULT '0' NOT NULL,
        fee_base NUMERIC(38, 18) DEFAULT '0' NOT NULL,
        dust_quantity NUMERIC(38, 18) DEFAULT '0' NOT NULL,
        opened_at TIMESTAMP WITH TIME ZONE NOT NULL,
        closed_at TIMESTAMP WITH TIME ZONE,
        mark_price NUMERIC(38, 18),
        marked_at TIMESTAMP WITH TIME ZONE,
        updated_at TIMESTAMP WITH TIME ZONE NOT NULL,
        CONSTRAINT pk_positions PRIMARY KEY (deal_id),
        CONSTRAINT fk_positions_deal_id FOREIGN KEY(deal_id, account, strategy, market) REFERENCES deals (id, account, strategy, market),
        CONSTRAINT ck_positions_numbers_are_numbers CHECK (bought_quantity <> 'NaN' AND bought_sum <> 'NaN' AND sold_quantity <> 'NaN' AND sold_sum <> 'NaN' AND fees_quote <> 'NaN' AND fee_base <> 'NaN' AND dust_quantity <> 'NaN' AND coalesce(mark_price, 1) <> 'NaN'),
        CONSTRAINT ck_positions_side_known CHECK (side IN ('LONG', 'SHORT')),
        CONSTRAINT ck_positions_sums_not_negative CHECK (bought_quantity >= 0 AND bought_sum >= 0 AND sold_quantity >= 0 AND sold_sum >= 0),
        CONSTRAINT ck_positions_mark_has_time CHECK ((mark_price IS NULL) = (marked_at IS NULL) AND coalesce(mark_price, 1) > 0),
        CONSTRAINT ck_positions_closed_when_nothing_is_held CHECK ((closed_at IS NOT NULL) = (bought_quantity - sold_quantity - fee_base - dust_quantity = 0))
    )
    """,
    "CREATE INDEX ix_positions_account_opened_at ON positions (account, opened_at)",
    "CREATE INDEX ix_positions_open ON positions (account, market) WHERE closed_at IS NULL",
    "COMMENT ON TABLE positions IS 'For each deal the sums of its fills'",
    "COMMENT ON COLUMN positions.market IS 'BASE-QUOTE@exchange'",
    "COMMENT ON COLUMN positions.bought_sum IS 'quote currency'",
    "COMMENT ON COLUMN positions.sold_sum IS 'quote currency'",
    "COMMENT ON COLUMN positions.fees_quote IS 'fees in the quote currency'",
    "COMMENT ON COLUMN positions.fee_base IS 'fees in the base currency'",
    "COMMENT ON COLUMN positions.dust_quantity IS 'base currency that is too little to sell'",
    "COMMENT ON COLUMN positions.closed_at IS 'set while nothing is held'",
    r"""
    CREATE TABLE stops (
        deal_id BIGINT NOT NULL,
        level NUMERIC(38, 18),
        target NUMERIC(38, 18),
        trailing_distance NUMERIC(10, 4),
        version INTEGER NOT NULL,
        state TEXT NOT NULL,
        gap_deadline TIMESTAMP WITH TIME ZONE,
        order_id BIGINT,
        updated_at TIMESTAMP WITH TIME ZONE NOT NULL,
        CONSTRAINT pk_stops PRIMARY KEY (deal_id),
        CONSTRAINT ck_stops_numbers_are_numbers CHECK (coalesce(level, 1) <> 'NaN' AND coalesce(target, 1) <> 'NaN' AND coalesce(trailing_distance, 0.5) <> 'NaN'),
        CONSTRAINT ck_stops_levels_positive CHECK (coalesce(level, 1) > 0 AND coalesce(target, 1) > 0),
        CONSTRAINT ck_stops_trailing_distance_is_a_fraction CHECK (trailing_distance > 0 AND trailing_distance < 1),
        CONSTRAINT ck_stops_version_counts_from_one CHECK (version > 0),
        CONSTRAINT ck_stops_state_known CHECK (state IN ('NONE', 'RESTING', 'GAP', 'EXITING', 'ALERTED')),
        CONSTRAINT ck_stops_gap_has_deadline CHECK ((state = 'GAP') = (gap_deadline IS NOT NULL)),
        CONSTRAINT ck_stops_resting_has_order CHECK (state <> 'RESTING' OR (order_id IS NOT NULL AND level IS NOT NULL)),
        CONSTRAINT fk_stops_deal_id FOREIGN KEY(deal_id) REFERENCES deals (id),
        CONSTRAINT fk_stops_order_id FOREIGN KEY(order_id) REFERENCES orders (id)
    )
    """,
    "COMMENT ON TABLE stops IS 'The stop and target of each deal, and who guards it at this moment'",
    "COMMENT ON COLUMN stops.trailing_distance IS 'fraction of the price'",
    "COMMENT ON COLUMN stops.version IS 'counts the changes from 1'",
    "COMMENT ON COLUMN stops.gap_deadline IS 'until then a stop rests again'",
    "COMMENT ON COLUMN stops.order_id IS 'the stop at the exchange'",
    r"""
    CREATE TABLE balance_history (
        id BIGINT GENERATED ALWAYS AS IDENTITY,
        account TEXT NOT NULL,
        at TIMESTAMP WITH TIME ZONE NOT NULL,
        cash NUMERIC(38, 18) NOT NULL,
        position_value NUMERIC(38, 18) NOT NULL,
        equity NUMERIC(38, 18) NOT NULL,
        margin_used NUMERIC(38, 18) NOT NULL,
        margin_free NUMERIC(38, 18) NOT NULL,
        unrealised_pnl NUMERIC(38, 18) NOT NULL,
        realised_pnl NUMERIC(38, 18) NOT NULL,
        net_deposits NUMERIC(38, 18) NOT NULL,
        daily_pnl NUMERIC(38, 18) NOT NULL,
        cumulative_pnl NUMERIC(38, 18) NOT NULL,
        time_weighted_return NUMERIC(38, 18) NOT NULL,
        details JSONB DEFAULT '{}' NOT NULL,
        CONSTRAINT pk_balance_history PRIMARY KEY (id),
        CONSTRAINT ck_balance_history_numbers_are_numbers CHECK (cash <> 'NaN' AND position_value <> 'NaN' AND equity <> 'NaN' AND margin_used <> 'NaN' AND margin_free <> 'NaN' AND unrealised_pnl <> 'NaN' AND realised_pnl <> 'NaN' AND net_deposits <> 'NaN' AND daily_pnl <> 'NaN' AND cumulative_pnl <> 'NaN' AND time_weighted_return <> 'NaN'),
        CONSTRAINT ck_balance_history_equity_is_cash_and_positions CHECK (equity = cash + position_value),
        CONSTRAINT ck_balance_history_margin_used_not_negative CHECK (margin_used >= 0),
        CONSTRAINT ck_balance_history_deposits_are_no_profit CHECK (cumulative_pnl = equity - net_deposits),
        CONSTRAINT ck_balance_history_no_more_than_all_is_lost CHECK (time_weighted_return >= -1),
        CONSTRAINT uq_balance_history_account UNIQUE (account, at),
        CONSTRAINT fk_balance_history_account FOREIGN KEY(account) REFERENCES accounts (name)
    )
    """,
    "COMMENT ON TABLE balance_history IS 'What each account was worth, in its quote currency; the return is a fraction'",
    r"""
    CREATE TABLE halts (
        id BIGINT GENERATED ALWAYS AS IDENTITY,
        scope TEXT NOT NULL,
        name TEXT NOT NULL,
        halted BOOLEAN NOT NULL,
        until TIMESTAMP WITH TIME ZONE,
        reason TEXT NOT NULL,
        changed_at TIMESTAMP WITH TIME ZONE NOT NULL,
        changed_by TEXT NOT NULL,
        CONSTRAINT pk_halts PRIMARY KEY (id),
        CONSTRAINT ck_halts_scope_known CHECK (scope IN ('desk', 'account', 'strategy', 'market')),
        CONSTRAINT ck_halts_name_of_scope CHECK ((scope = 'desk') = (name = '')),
        CONSTRAINT ck_halts_until_of_a_halt CHECK (halted OR until IS NULL),
        CONSTRAINT ck_halts_reason_has_words CHECK (reason <> ''),
        CONSTRAINT ck_halts_changed_by_someone CHECK (changed_by <> '')
    )
    """,
    "CREATE INDEX ix_halts_scope_name_id ON halts (scope, name, id)",
    "COMMENT ON TABLE halts IS 'Each time trading was stopped or resumed, the newest row of a name counts; rows are only ever added'",
    "COMMENT ON COLUMN halts.scope IS 'desk, account, strategy or market'",
    "COMMENT ON COLUMN halts.name IS 'of the account, strategy or market; empty for the desk'",
    "COMMENT ON COLUMN halts.until IS 'ends by itself then; empty: until a person resumes'",
    r"""
    CREATE TABLE fences (
        name TEXT NOT NULL,
        epoch BIGINT NOT NULL,
        holder TEXT NOT NULL,
        taken_at TIMESTAMP WITH TIME ZONE NOT NULL,
        CONSTRAINT pk_fences PRIMARY KEY (name),
        CONSTRAINT ck_fences_name_form CHECK (name ~ '^[a-z][a-z0-9_]{0,39}$'),
        CONSTRAINT ck_fences_epoch_counts_from_one CHECK (epoch > 0),
        CONSTRAINT ck_fences_holder_is_someone CHECK (holder <> '')
    )
    """,
    "COMMENT ON TABLE fences IS 'Which process may write order intents'",
    "COMMENT ON COLUMN fences.epoch IS 'grows with each holder; who has an older one may not write'",
    r"""
    CREATE TABLE heartbeats (
        name TEXT NOT NULL,
        at TIMESTAMP WITH TIME ZONE NOT NULL,
        detail JSONB DEFAULT '{}' NOT NULL,
        CONSTRAINT pk_heartbeats PRIMARY KEY (name),
        CONSTRAINT ck_heartbeats_name_form CHECK (name <> ''),
        CONSTRAINT ck_heartbeats_detail_has_names CHECK (jsonb_typeof(detail) = 'object')
    )
    """,
    "COMMENT ON TABLE heartbeats IS 'When each part that must never stop was last seen at work'",
    r"""
    CREATE TABLE reconciliations (
        id BIGINT GENERATED ALWAYS AS IDENTITY,
        account TEXT NOT NULL,
        at TIMESTAMP WITH TIME ZONE NOT NULL,
        ok BOOLEAN NOT NULL,
        detail JSONB NOT NULL,
        CONSTRAINT pk_reconciliations PRIMARY KEY (id),
        CONSTRAINT ck_reconciliations_detail_has_names CHECK (jsonb_typeof(detail) = 'object'),
        CONSTRAINT fk_reconciliations_account FOREIGN KEY(account) REFERENCES accounts (name)
    )
    """,
    "CREATE INDEX ix_reconciliations_account_id ON reconciliations (account, id)",
    "COMMENT ON TABLE reconciliations IS 'Comparisons of the ledger with the exchange'",
    "COMMENT ON COLUMN reconciliations.detail IS 'what was compared, and what differs'",
)
