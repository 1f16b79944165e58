-- What was ordered and what was filled. Times are milliseconds; money, prices and quantities are exact decimals.

CREATE TABLE orders (
    venue           text           NOT NULL,
    account         text           NOT NULL,
    client_order_id text           NOT NULL,
    venue_order_id  text           NOT NULL,
    intent_id       text           NOT NULL,
    signal_id       text           NOT NULL,
    child           integer        NOT NULL,
    role            text           NOT NULL,
    phase           text           NOT NULL,
    symbol          text           NOT NULL,
    side            text           NOT NULL CHECK (side IN ('BUY', 'SELL')),
    order_type      text           NOT NULL,
    quantity        numeric(38, 18) NOT NULL,
    price           numeric(38, 18),
    trigger_price   numeric(38, 18),
    reduce_only     boolean        NOT NULL,
    state           text           NOT NULL,
    filled_quantity numeric(38, 18) NOT NULL,
    average_price   numeric(38, 18) NOT NULL,
    code            text           NOT NULL,
    detail          text           NOT NULL,
    term            bigint         NOT NULL,
    journal_seq     bigint         NOT NULL,
    first_ms        bigint         NOT NULL,
    updated_ms      bigint         NOT NULL,
    venue_ts_ms     bigint         NOT NULL,
    PRIMARY KEY (venue, account, client_order_id)
);

CREATE INDEX orders_by_venue_order ON orders (venue, account, venue_order_id) WHERE venue_order_id <> '';
CREATE INDEX orders_by_update ON orders (updated_ms DESC);
CREATE INDEX orders_by_intent ON orders (intent_id) WHERE intent_id <> '';
CREATE INDEX orders_live ON orders (updated_ms DESC)
    WHERE state NOT IN ('FILLED', 'CANCELED', 'REJECTED', 'EXPIRED');

CREATE TABLE order_events (
    term            bigint         NOT NULL,
    journal_seq     bigint         NOT NULL,
    venue           text           NOT NULL,
    account         text           NOT NULL,
    client_order_id text           NOT NULL,
    venue_order_id  text           NOT NULL,
    state           text           NOT NULL,
    filled_quantity numeric(38, 18) NOT NULL,
    average_price   numeric(38, 18) NOT NULL,
    code            text           NOT NULL,
    detail          text           NOT NULL,
    ts_ms           bigint         NOT NULL,
    venue_ts_ms     bigint         NOT NULL,
    PRIMARY KEY (term, journal_seq, client_order_id)
);

CREATE INDEX order_events_by_order ON order_events (venue, account, client_order_id, term, journal_seq);

CREATE TABLE fills (
    fill_id         text           PRIMARY KEY,
    venue_trade_id  text           NOT NULL,
    venue           text           NOT NULL,
    account         text           NOT NULL,
    client_order_id text           NOT NULL,
    venue_order_id  text           NOT NULL,
    intent_id       text           NOT NULL,
    signal_id       text           NOT NULL,
    role            text           NOT NULL,
    phase           text           NOT NULL,
    symbol          text           NOT NULL,
    side            text           NOT NULL CHECK (side IN ('BUY', 'SELL')),
    price           numeric(38, 18) NOT NULL CHECK (price > 0),
    quantity        numeric(38, 18) NOT NULL CHECK (quantity > 0),
    fee             numeric(38, 18) NOT NULL,
    fee_currency    text           NOT NULL,
    maker           boolean        NOT NULL,
    realized_pnl    numeric(38, 18) NOT NULL,
    t_exchange_ms   bigint         NOT NULL,
    t_ingress_ms    bigint         NOT NULL,
    journal_seq     bigint         NOT NULL,
    term            bigint         NOT NULL,
    booked_at       timestamptz    NOT NULL DEFAULT now()
);

CREATE INDEX fills_by_instrument ON fills (venue, account, symbol, journal_seq);
CREATE INDEX fills_by_time ON fills (t_exchange_ms DESC);
CREATE INDEX fills_by_order ON fills (venue, account, client_order_id);

CREATE TABLE rejects (
    reject_id text   PRIMARY KEY,
    intent_id text   NOT NULL,
    signal_id text   NOT NULL,
    symbol    text   NOT NULL,
    code      text   NOT NULL,
    detail    text   NOT NULL,
    ts_ms     bigint NOT NULL
);

CREATE INDEX rejects_by_time ON rejects (ts_ms DESC);

-- A position that the router took over from the venue because its journal could not explain it.
CREATE TABLE adoptions (
    term              bigint         NOT NULL,
    journal_seq       bigint         NOT NULL,
    venue             text           NOT NULL,
    account           text           NOT NULL,
    symbol            text           NOT NULL,
    quantity          numeric(38, 18) NOT NULL,
    average_price     numeric(38, 18) NOT NULL,
    previous_quantity numeric(38, 18) NOT NULL,
    reason            text           NOT NULL,
    ts_ms             bigint         NOT NULL,
    PRIMARY KEY (term, journal_seq)
);

-- A net position of a venue account and the round trip it is in. `last_seq` is the journal row of the last fill in it.
CREATE TABLE positions (
    venue          text           NOT NULL,
    account        text           NOT NULL,
    symbol         text           NOT NULL,
    quantity       numeric(38, 18) NOT NULL,
    average_price  numeric(38, 18) NOT NULL,
    realized_pnl   numeric(38, 18) NOT NULL,
    fees           numeric(38, 18) NOT NULL,
    funding        numeric(38, 18) NOT NULL,
    last_seq       bigint         NOT NULL,
    updated_ms     bigint         NOT NULL,
    trip_phase          text           NOT NULL,
    trip_opened_ms      bigint         NOT NULL,
    trip_entry_quantity numeric(38, 18) NOT NULL,
    trip_entry_value    numeric(38, 18) NOT NULL,
    trip_exit_quantity  numeric(38, 18) NOT NULL,
    trip_exit_value     numeric(38, 18) NOT NULL,
    trip_pnl            numeric(38, 18) NOT NULL,
    trip_fees           numeric(38, 18) NOT NULL,
    PRIMARY KEY (venue, account, symbol)
);

-- A holding from flat to flat (or to the other side), named by the fill that ended it.
CREATE TABLE round_trips (
    closing_fill_id text           PRIMARY KEY,
    venue           text           NOT NULL,
    account         text           NOT NULL,
    symbol          text           NOT NULL,
    phase           text           NOT NULL,
    side            text           NOT NULL CHECK (side IN ('BUY', 'SELL')),
    quantity        numeric(38, 18) NOT NULL,
    entry_price     numeric(38, 18) NOT NULL,
    exit_price      numeric(38, 18) NOT NULL,
    realized_pnl    numeric(38, 18) NOT NULL,
    fees            numeric(38, 18) NOT NULL,
    opened_ms       bigint         NOT NULL,
    closed_ms       bigint         NOT NULL
);

CREATE INDEX round_trips_by_time ON round_trips (closed_ms DESC);
CREATE INDEX round_trips_by_instrument ON round_trips (venue, account, symbol);
