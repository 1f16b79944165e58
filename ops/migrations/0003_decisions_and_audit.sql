-- Why it was done, who asked for it, and how the account stood. `event_id` is the id of the bus envelope.

CREATE TABLE brain_decisions (
    decision_id         text           PRIMARY KEY,
    signal_id           text           NOT NULL,
    phase               text           NOT NULL,
    symbol              text           NOT NULL,
    side                text           NOT NULL,
    action              text           NOT NULL,
    approved            boolean        NOT NULL,
    code                text           NOT NULL,
    reason              text           NOT NULL,
    requested_size_usd  numeric(38, 18) NOT NULL,
    authorized_size_usd numeric(38, 18) NOT NULL,
    weight_scavenger    double precision NOT NULL,
    weight_hunter       double precision NOT NULL,
    weight_sentinel     double precision NOT NULL,
    current_leverage    double precision NOT NULL,
    projected_leverage  double precision NOT NULL,
    trap_type           text           NOT NULL,
    policy_hash         text           NOT NULL,
    decision_ms         double precision NOT NULL,
    ts_ms               bigint         NOT NULL,
    booked_at           timestamptz    NOT NULL DEFAULT now()
);

CREATE INDEX brain_decisions_by_time ON brain_decisions (ts_ms DESC);
CREATE INDEX brain_decisions_by_signal ON brain_decisions (signal_id);

CREATE TABLE alerts (
    event_id text   PRIMARY KEY,
    code     text   NOT NULL,
    severity text   NOT NULL,
    source   text   NOT NULL,
    message  text   NOT NULL,
    labels   jsonb  NOT NULL,
    ts_ms    bigint NOT NULL
);

CREATE INDEX alerts_by_time ON alerts (ts_ms DESC);

CREATE TABLE audit_events (
    event_id    text   PRIMARY KEY,
    kind        text   NOT NULL,
    actor       text   NOT NULL,
    summary     text   NOT NULL,
    detail      jsonb  NOT NULL,
    ts_ms       bigint NOT NULL,
    booked_at   timestamptz NOT NULL DEFAULT now()
);

CREATE INDEX audit_events_by_time ON audit_events (ts_ms DESC);

CREATE TABLE equity_curve (
    venue          text           NOT NULL,
    account        text           NOT NULL,
    currency       text           NOT NULL,
    ts_ms          bigint         NOT NULL,
    market_ts_ms   bigint         NOT NULL,
    wallet         numeric(38, 18) NOT NULL,
    unrealized_pnl numeric(38, 18) NOT NULL,
    equity         numeric(38, 18) NOT NULL,
    start_of_day   numeric(38, 18) NOT NULL,
    high_watermark numeric(38, 18) NOT NULL,
    PRIMARY KEY (venue, account, currency, ts_ms)
);

-- What the books remember of themselves: the journal row up to which everything is booked.
CREATE TABLE books_state (
    key   text   PRIMARY KEY,
    value bigint NOT NULL
);
