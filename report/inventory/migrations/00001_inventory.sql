-- The inventory. {{id}} and {{blob}} stand for what SQLite and PostgreSQL call differently. Times are milliseconds since
-- 1970, UTC; 0 is none.

-- +goose Up
CREATE TABLE vantage (
	id   {{id}},
	site TEXT NOT NULL,
	name TEXT NOT NULL,
	UNIQUE (site, name)
);

CREATE TABLE scan (
	id        {{id}},
	name      TEXT   NOT NULL UNIQUE,
	vantage   BIGINT NOT NULL REFERENCES vantage (id),
	kind      TEXT   NOT NULL, -- scan, discover, probe
	started   BIGINT NOT NULL,
	under_way BIGINT NOT NULL, -- since when it was begun, or gone on with, without an end; 0: it has come to one
	about     {{blob}} NOT NULL -- what was asked for: report.Scan, packed
);

-- A scan that is interrupted and resumed ends more than once.
CREATE TABLE scan_end (
	scan     BIGINT NOT NULL REFERENCES scan (id),
	ended    BIGINT NOT NULL,
	complete BIGINT NOT NULL,
	about    {{blob}} NOT NULL, -- how it went: report.Scan and what DNS said, packed
	PRIMARY KEY (scan, ended)
);

CREATE TABLE coverage (
	scan          BIGINT NOT NULL REFERENCES scan (id),
	prefix        TEXT   NOT NULL,
	port          BIGINT NOT NULL,
	open          BIGINT NOT NULL,
	closed        BIGINT NOT NULL,
	filtered      BIGINT NOT NULL,
	prohibited    BIGINT NOT NULL,
	unreachable   BIGINT NOT NULL,
	not_attempted BIGINT NOT NULL,
	failed        BIGINT NOT NULL,
	reasons       TEXT   NOT NULL, -- of what was not attempted: JSON
	PRIMARY KEY (scan, prefix, port)
);

CREATE TABLE endpoint (
	id      {{id}},
	site    TEXT   NOT NULL,
	address TEXT   NOT NULL,
	port    BIGINT NOT NULL,
	UNIQUE (site, address, port)
);

-- What one scan saw of one endpoint: an opening, or what became of one that was known. first_seen and what follows is
-- what the vantage knew by then; it is reckoned again when another scan stores an earlier look.
CREATE TABLE sighting (
	scan       BIGINT NOT NULL REFERENCES scan (id),
	endpoint   BIGINT NOT NULL REFERENCES endpoint (id),
	vantage    BIGINT NOT NULL REFERENCES vantage (id),
	at         BIGINT NOT NULL,
	state      TEXT   NOT NULL, -- open, closed, filtered, prohibited, unreachable, not-attempted, failed
	sure       BIGINT NOT NULL, -- 1: the look counts
	silent     BIGINT NOT NULL, -- sure looks in a row that nothing answered
	why        TEXT   NOT NULL, -- why it does not count
	source     TEXT   NOT NULL, -- that it opened to, if not the vantage's own
	first_seen BIGINT NOT NULL, -- open for the first time
	last_seen  BIGINT NOT NULL, -- open for the last time
	checked    BIGINT NOT NULL, -- looked at for the last time
	opened     BIGINT NOT NULL, -- the scan that found it open for the last time; 0: none
	same       {{blob}},          -- of a finding: hash of what a change would be told of
	PRIMARY KEY (scan, endpoint)
);
CREATE INDEX sighting_life ON sighting (endpoint, vantage, at);

CREATE TABLE finding (
	scan        BIGINT NOT NULL REFERENCES scan (id),
	endpoint    BIGINT NOT NULL REFERENCES endpoint (id),
	protocol    TEXT   NOT NULL,
	product     TEXT   NOT NULL,
	version     TEXT   NOT NULL,
	certificate TEXT   NOT NULL, -- SHA-256 of it
	verdict     TEXT   NOT NULL, -- as the replies had it; a delivery of a canary of it proves more
	class       TEXT   NOT NULL,
	judged      BIGINT NOT NULL, -- by which version of the judgement
	digest      {{blob}} NOT NULL, -- the finding without attempts and transcripts, and the judgement: packed
	PRIMARY KEY (scan, endpoint)
);

-- All that the finding is made of, attempts and transcripts with it.
CREATE TABLE evidence (
	scan     BIGINT NOT NULL REFERENCES scan (id),
	endpoint BIGINT NOT NULL REFERENCES endpoint (id),
	body     {{blob}} NOT NULL,
	PRIMARY KEY (scan, endpoint)
);

-- Canaries that were sent: what comes home belongs to one of these findings.
CREATE TABLE canary (
	token    TEXT   PRIMARY KEY,
	scan     BIGINT NOT NULL REFERENCES scan (id),
	endpoint BIGINT NOT NULL REFERENCES endpoint (id)
);
CREATE INDEX canary_finding ON canary (scan, endpoint);

CREATE TABLE delivery (
	id    TEXT   PRIMARY KEY, -- half of the SHA-256 of token, time, peer and recipient: one that is brought twice is one
	token TEXT   NOT NULL,
	at    BIGINT NOT NULL,
	body  TEXT   NOT NULL -- probe.Delivery, JSON
);
CREATE INDEX delivery_token ON delivery (token);

-- Rule exports that a scan was explained with. What is in them stays where it is.
CREATE TABLE ruleset (
	scan   BIGINT NOT NULL REFERENCES scan (id),
	device TEXT   NOT NULL,
	file   TEXT   NOT NULL,
	sha256 TEXT   NOT NULL,
	taken  BIGINT NOT NULL, -- when it was exported, if it says so
	PRIMARY KEY (scan, device, file)
);

-- The firewall lines that let a scan through to an endpoint.
CREATE TABLE passage (
	scan     BIGINT NOT NULL REFERENCES scan (id),
	endpoint BIGINT NOT NULL REFERENCES endpoint (id),
	lines    TEXT   NOT NULL, -- JSON
	PRIMARY KEY (scan, endpoint)
);

-- The approvals that endpoints were held against.
CREATE TABLE approval_use (
	scan     BIGINT NOT NULL REFERENCES scan (id),
	endpoint BIGINT NOT NULL REFERENCES endpoint (id),
	approval TEXT   NOT NULL, -- owner, ticket and where it stands
	state    TEXT   NOT NULL,
	expires  BIGINT NOT NULL,
	PRIMARY KEY (scan, endpoint, approval)
);
