-- Double entry: every transaction sums to zero in every currency, and nothing is ever changed or removed.
-- Direction +1 is a credit, -1 a debit. What an asset account holds is its debits less its credits.

CREATE TABLE ledger_accounts (
    account_id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    name       text   NOT NULL,
    type       text   NOT NULL CHECK (type IN ('asset', 'liability', 'equity', 'income', 'expense')),
    currency   text   NOT NULL,
    UNIQUE (name, currency)
);

CREATE TABLE ledger_transactions (
    tx_id          bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    correlation_id text   NOT NULL UNIQUE,
    event_type     text   NOT NULL,
    description    text   NOT NULL,
    posted_ms      bigint NOT NULL,
    booked_at      timestamptz NOT NULL DEFAULT now()
);

CREATE TABLE ledger_entries (
    tx_id      bigint         NOT NULL REFERENCES ledger_transactions (tx_id),
    line       smallint       NOT NULL,
    account_id bigint         NOT NULL REFERENCES ledger_accounts (account_id),
    direction  smallint       NOT NULL CHECK (direction IN (1, -1)),
    amount     numeric(38, 18) NOT NULL CHECK (amount > 0),
    PRIMARY KEY (tx_id, line)
);

CREATE INDEX ledger_entries_by_account ON ledger_entries (account_id);

CREATE FUNCTION titan_check_balance() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
    unit text;
    rest numeric;
BEGIN
    SELECT a.currency, sum(e.direction * e.amount) INTO unit, rest
    FROM ledger_entries e JOIN ledger_accounts a USING (account_id)
    WHERE e.tx_id = NEW.tx_id
    GROUP BY a.currency
    HAVING sum(e.direction * e.amount) <> 0
    LIMIT 1;
    IF FOUND THEN
        RAISE EXCEPTION 'ledger transaction % does not balance: % % left over', NEW.tx_id, rest, unit
            USING ERRCODE = 'check_violation';
    END IF;
    RETURN NULL;
END $$;

CREATE CONSTRAINT TRIGGER ledger_entries_balance
    AFTER INSERT ON ledger_entries
    DEFERRABLE INITIALLY DEFERRED
    FOR EACH ROW EXECUTE FUNCTION titan_check_balance();

CREATE FUNCTION titan_refuse_change() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION 'table % is append-only: post a correcting transaction instead', TG_TABLE_NAME
        USING ERRCODE = 'restrict_violation';
END $$;

CREATE TRIGGER ledger_entries_append_only
    BEFORE UPDATE OR DELETE ON ledger_entries
    FOR EACH ROW EXECUTE FUNCTION titan_refuse_change();

CREATE TRIGGER ledger_transactions_append_only
    BEFORE UPDATE OR DELETE ON ledger_transactions
    FOR EACH ROW EXECUTE FUNCTION titan_refuse_change();
