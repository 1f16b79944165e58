-- The books can't be emptied or renamed behind their own back; every difference has its evidence and its end.

CREATE TRIGGER ledger_entries_not_emptied
    BEFORE TRUNCATE ON ledger_entries
    FOR EACH STATEMENT EXECUTE FUNCTION titan_refuse_change();

CREATE TRIGGER ledger_transactions_not_emptied
    BEFORE TRUNCATE ON ledger_transactions
    FOR EACH STATEMENT EXECUTE FUNCTION titan_refuse_change();

-- An account's currency decides what must balance: changed, it would unbalance what was posted.
CREATE TRIGGER ledger_accounts_append_only
    BEFORE UPDATE OR DELETE ON ledger_accounts
    FOR EACH ROW EXECUTE FUNCTION titan_refuse_change();

CREATE TRIGGER ledger_accounts_not_emptied
    BEFORE TRUNCATE ON ledger_accounts
    FOR EACH STATEMENT EXECUTE FUNCTION titan_refuse_change();

-- `difference_id` is a function of account, kind, key and what the sides said: the same difference seen by two passes has one
-- id. `resolution` is empty while the difference stands.
ALTER TABLE truth_differences
    ADD COLUMN difference_id   text   NOT NULL DEFAULT '',
    ADD COLUMN evidence_sha256 text   NOT NULL DEFAULT '',
    ADD COLUMN resolution      text   NOT NULL DEFAULT '',
    ADD COLUMN resolved_ms     bigint NOT NULL DEFAULT 0;

CREATE INDEX truth_differences_open ON truth_differences (kind, key) WHERE resolution = '';

-- A truth pass reads what is young or alive.
CREATE INDEX orders_by_venue_time ON orders (venue, account, venue_ts_ms);
CREATE INDEX fills_by_account_time ON fills (venue, account, t_exchange_ms);
