-- Tables that grow without end and are let go after years are kept by month of their wall time, so that letting go is dropping a
-- table. What stands so far becomes the part for everything outside a month of its own; titan/store/partitions.py makes the months.
-- A key holds the time too, as the server asks: it is said by who reports the event, and is the same however often it is told.
-- Fills and the double entry are kept for good and stay whole: a fill's id is unique for ever, which parts could not promise.

ALTER TABLE order_events RENAME TO order_events_rest;
ALTER TABLE order_events_rest DROP CONSTRAINT order_events_pkey;
ALTER INDEX order_events_by_order RENAME TO order_events_rest_by_order;
CREATE TABLE order_events (LIKE order_events_rest INCLUDING DEFAULTS INCLUDING CONSTRAINTS) PARTITION BY RANGE (ts_ms);
ALTER TABLE order_events ADD PRIMARY KEY (term, journal_seq, client_order_id, ts_ms);
CREATE INDEX order_events_by_order ON order_events (venue, account, client_order_id, term, journal_seq);
ALTER TABLE order_events ATTACH PARTITION order_events_rest DEFAULT;

ALTER TABLE equity_curve RENAME TO equity_curve_rest;
ALTER TABLE equity_curve_rest DROP CONSTRAINT equity_curve_pkey;
CREATE TABLE equity_curve (LIKE equity_curve_rest INCLUDING DEFAULTS INCLUDING CONSTRAINTS) PARTITION BY RANGE (ts_ms);
ALTER TABLE equity_curve ADD PRIMARY KEY (venue, account, currency, ts_ms);
ALTER TABLE equity_curve ATTACH PARTITION equity_curve_rest DEFAULT;

ALTER TABLE audit_events RENAME TO audit_events_rest;
ALTER TABLE audit_events_rest DROP CONSTRAINT audit_events_pkey;
ALTER INDEX audit_events_by_time RENAME TO audit_events_rest_by_time;
CREATE TABLE audit_events (LIKE audit_events_rest INCLUDING DEFAULTS INCLUDING CONSTRAINTS) PARTITION BY RANGE (ts_ms);
ALTER TABLE audit_events ADD PRIMARY KEY (event_id, ts_ms);
CREATE INDEX audit_events_by_time ON audit_events (ts_ms DESC);
ALTER TABLE audit_events ATTACH PARTITION audit_events_rest DEFAULT;

-- Who may see and write which row of the audit, whatever else a role was granted. The owner and the backup pass.
-- Policies name roles by text: a dump of them loads into a server that has no such role yet.
ALTER TABLE audit_events ENABLE ROW LEVEL SECURITY;
CREATE POLICY audit_is_written_by_the_books ON audit_events FOR INSERT
    WITH CHECK (current_user::text = 'titan_execution' AND booked_at = now());
-- The books look a row up before they write it; an auditor sees all of it.
CREATE POLICY audit_is_whole_for_auditors ON audit_events FOR SELECT
    USING (current_user::text IN ('titan_execution', 'titan_auditor'));
-- What people did stands with their names: others see only what machines did by themselves.
CREATE POLICY audit_of_machines_is_open ON audit_events FOR SELECT
    USING ((kind = 'ACTOR_RESTARTED' OR (kind = 'TRADING_STATE' AND actor = 'router')) AND current_user::text = 'titan_reader');
