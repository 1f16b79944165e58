-- Every comparison of venue, journal and ledger, with what it found and the hash of what it looked at.

CREATE TABLE truth_runs (
    truth_id        text    PRIMARY KEY,
    ts_ms           bigint  NOT NULL,
    duration_ms     bigint  NOT NULL,
    requested_by    text    NOT NULL,
    venue           text    NOT NULL,
    orders_compared integer NOT NULL,
    fills_compared  integer NOT NULL,
    differences     integer NOT NULL,
    confidence      integer NOT NULL CHECK (confidence BETWEEN 0 AND 100),
    complete        boolean NOT NULL,
    error           text    NOT NULL,
    policy_hash     text    NOT NULL,
    evidence_sha256 text    NOT NULL
);

CREATE INDEX truth_runs_by_time ON truth_runs (ts_ms DESC);

CREATE TABLE truth_differences (
    truth_id      text    NOT NULL REFERENCES truth_runs (truth_id),
    line          integer NOT NULL,
    kind          text    NOT NULL,
    key           text    NOT NULL,
    venue_value   text    NOT NULL,
    journal_value text    NOT NULL,
    ledger_value  text    NOT NULL,
    PRIMARY KEY (truth_id, line)
);
