-- What the hostile statements are about: relations of every kind and models of every kind, small. Run
-- by the owner of the
-- models, again whenever too much of it is broken.
SET client_min_messages = error;
SET search_path = world, public;
SET fmtopx.simd = 'auto';

CREATE TABLE ratings AS
SELECT u AS user_id, i AS item_id, (3 + sin(u) + cos(i) + sin(u * 0.7) * cos(i * 1.3))::real AS rating,
       CASE i % 3 WHEN 0 THEN 'phone' WHEN 1 THEN 'desk' END AS device, (u + i) % 5 AS mood,
       1 + (u % 3)::real AS weight, timestamptz '2026-01-01' + make_interval(days => u + i) AS
    rated_at, 0 AS spare
FROM generate_series(1, 60) u, generate_series(1, 30) i WHERE hashint8extended(u * 1000 + i, 1) % 3 = 0;
CREATE INDEX ON ratings (user_id);
CREATE TABLE crowd AS
SELECT u AS user_id, i AS item_id, (1 + (u * i) % 5)::real AS rating FROM generate_series(1, 700) u,
    generate_series(1, 12) i WHERE (u * 7 + i * 13) % 4 = 0;
CREATE TABLE yes AS SELECT user_id, item_id, rating > 3 AS rating FROM ratings;
CREATE TABLE big_ids AS SELECT user_id * 10000000000 AS user_id, item_id * -7::bigint AS item_id,
    rating FROM ratings;
CREATE TABLE words AS SELECT 'user ' || user_id AS user_id, 'item ' || item_id AS item_id, rating FROM
    ratings;
CREATE TABLE uuids AS SELECT md5('u' || user_id)::uuid AS user_id, md5('i' || item_id)::uuid AS
    item_id, rating FROM ratings;
CREATE TABLE people AS SELECT u AS user_id, u % 3 AS age, u / 7.0 AS height, ARRAY['a' || u % 4, 'b' ||
    u % 5] AS tags
FROM generate_series(1, 70) u;
CREATE TABLE films AS SELECT i AS item_id, i % 4 AS genre, i * 0.1::real AS length, i % 2 = 0 AS funny
FROM generate_series(1, 33) i;

-- Relations of other kinds with the same columns.
CREATE VIEW ratings_view AS SELECT user_id, item_id, rating, device, weight, rated_at FROM ratings;
CREATE MATERIALIZED VIEW ratings_matview AS TABLE ratings;
CREATE MATERIALIZED VIEW ratings_unfilled AS TABLE ratings WITH NO DATA;
CREATE TABLE ratings_parted (LIKE ratings) PARTITION BY HASH (user_id);
CREATE TABLE ratings_part0 PARTITION OF ratings_parted FOR VALUES WITH (MODULUS 2, REMAINDER 0);
CREATE TABLE ratings_part1 PARTITION OF ratings_parted FOR VALUES WITH (MODULUS 2, REMAINDER 1);
INSERT INTO ratings_parted TABLE ratings;
CREATE TABLE ratings_parent (LIKE ratings);
CREATE TABLE ratings_child () INHERITS (ratings_parent);
INSERT INTO ratings_child TABLE ratings;
CREATE FOREIGN TABLE ratings_foreign (user_id integer, item_id integer, rating real) SERVER loopback
    OPTIONS (table_name 'ratings');
CREATE TABLE ratings_rls AS TABLE ratings;
ALTER TABLE ratings_rls ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY half ON ratings_rls USING (user_id % 2 = 0);
CREATE TABLE ratings_generated (user_id integer, item_id integer GENERATED ALWAYS AS (user_id % 30)
    STORED, rating real);
INSERT INTO ratings_generated (user_id, rating) SELECT u, u % 5 FROM generate_series(1, 60) u;
CREATE TABLE ratings_nan AS SELECT user_id, item_id, CASE WHEN item_id = 3 THEN 'NaN' ELSE rating END
    AS rating FROM ratings;
CREATE TABLE ratings_huge AS SELECT user_id, item_id, CASE item_id % 2 WHEN 0 THEN 3e38 ELSE -3e38
    END::real AS rating FROM ratings;
CREATE TABLE ratings_double AS SELECT user_id, item_id, CASE item_id % 3 WHEN 0 THEN 1e300 WHEN 1 THEN
    -1e308 ELSE 1e-310 END AS rating FROM ratings;
CREATE TABLE ratings_near AS SELECT user_id, item_id, 1e9 + rating::float8 AS rating FROM ratings;
CREATE TABLE ratings_null (user_id integer, item_id integer, rating real);
INSERT INTO ratings_null SELECT nullif(u, 3), nullif(u % 7, 3), nullif(u % 5, 3) FROM
    generate_series(1, 50) u;
CREATE TABLE ratings_empty (LIKE ratings);
CREATE TABLE ratings_one AS SELECT 1 AS user_id, 1 AS item_id, 5::real AS rating;
CREATE TABLE ratings_nothing ();
CREATE UNLOGGED TABLE ratings_unlogged AS TABLE ratings;
CREATE TABLE ratings_dropped (junk text, user_id integer, trash text, item_id integer, rating real);
INSERT INTO ratings_dropped SELECT 'x', user_id, 'y', item_id, rating FROM ratings;
ALTER TABLE ratings_dropped DROP junk, DROP trash, ADD late integer DEFAULT 7;
CREATE DOMAIN id AS integer CHECK (VALUE < 1000000);
CREATE TABLE ratings_domain (user_id id, item_id id, rating real);
INSERT INTO ratings_domain SELECT user_id, item_id, rating FROM ratings;
CREATE TYPE pair AS (a integer, b text);
CREATE TABLE ratings_odd (user_id pair, item_id point, rating money);
INSERT INTO ratings_odd SELECT ROW(user_id, 'x'::text)::pair, point(item_id, 1), rating::numeric::money
    FROM ratings;
CREATE TABLE ratings_long AS SELECT repeat('u', 3000) || user_id AS user_id, repeat(md5(item_id::text),
    200) AS item_id, rating FROM ratings;
CREATE TABLE ratings_xid AS SELECT user_id::text::xid AS user_id, item_id::text::xid AS item_id, rating
    FROM ratings;
CREATE VIEW ratings_error AS SELECT user_id, item_id, rating / (item_id - 5) AS rating FROM ratings;
CREATE VIEW ratings_random AS SELECT user_id, item_id, rating + random() AS rating FROM ratings WHERE
    random() < 0.5;
CREATE TABLE wide_features AS SELECT i AS item_id, 'NaN'::real AS nan, 1e300 AS huge, ARRAY[[1, NULL],
    [2, 3]] AS tags, ''::text AS empty,
       '{}'::jsonb AS json, NULL::integer AS nothing, 1e15 + i AS near FROM generate_series(1, 33) i;
CREATE TABLE other_features AS SELECT -i AS item_id, -i AS user_id, i AS n FROM generate_series(1, 33) i;

-- Tables of lists that are not as they should be.
CREATE TABLE lists_bare (user_id integer, rank integer, item_id integer, score real);
CREATE TABLE lists_more (note text DEFAULT 'x', user_id bigint, rank bigint, item_id bigint, score
    double precision, at timestamptz DEFAULT now(), PRIMARY KEY (user_id, rank));
CREATE TABLE lists_less (user_id integer, rank integer);
CREATE TABLE lists_least (user_id integer, rank integer, item_id integer);
CREATE TABLE lists_rated (rating real, user_id integer, rank integer, item_id integer);
CREATE TABLE lists_parted (user_id integer, rank integer, item_id integer, score real, PRIMARY KEY
    (user_id, rank)) PARTITION BY HASH (user_id);
CREATE TABLE lists_part0 PARTITION OF lists_parted FOR VALUES WITH (MODULUS 1, REMAINDER 0);
CREATE TABLE lists_rule (LIKE lists_bare);
CREATE RULE nothing AS ON INSERT TO lists_rule DO INSTEAD NOTHING;
CREATE TABLE lists_trigger (LIKE lists_bare);
CREATE FUNCTION meddle() RETURNS trigger LANGUAGE plpgsql AS $$BEGIN
	IF new.item_id % 5 = 0 THEN RETURN NULL; ELSIF new.item_id % 7 = 0 THEN new.item_id := NULL; END IF;
	RETURN new; END$$;
CREATE TRIGGER meddle BEFORE INSERT OR UPDATE ON lists_trigger FOR EACH ROW EXECUTE FUNCTION meddle();
CREATE TABLE lists_cancel (LIKE lists_bare);
CREATE FUNCTION pretend() RETURNS trigger LANGUAGE plpgsql AS $$BEGIN RAISE 'canceled' USING ERRCODE =
    '57014'; END$$;
CREATE TRIGGER pretend BEFORE INSERT ON lists_cancel FOR EACH STATEMENT EXECUTE FUNCTION pretend();
CREATE TABLE lists_fk_to (user_id integer PRIMARY KEY);
CREATE TABLE lists_fk (user_id integer, rank integer, item_id integer, score real, FOREIGN KEY
    (user_id) REFERENCES lists_fk_to DEFERRABLE INITIALLY DEFERRED);
CREATE TABLE lists_check (user_id integer, rank integer CHECK (rank < 3), item_id smallint, score
    numeric(3,1));
CREATE TABLE lists_generated (user_id integer, rank integer GENERATED ALWAYS AS IDENTITY, item_id
    integer, score real GENERATED ALWAYS AS (1.0) STORED);
CREATE TABLE lists_twice (LIKE lists_bare);
INSERT INTO lists_twice SELECT u, 1, 1, 1 FROM generate_series(1, 60) u, generate_series(1, 3);

-- Models.
SELECT FROM fm_train('als', 'ratings', solver => 'als', num_factors => 4, iterations => 5);
SELECT FROM fm_train('mcmc', 'ratings', num_factors => 3, iterations => 5, test_size => 0.1);
SELECT FROM fm_train('yes', 'yes', task => 'classification', num_factors => 2, iterations => 5);
SELECT FROM fm_train('rank', 'big_ids', task => 'ranking', num_factors => 5, iterations => 3);
SELECT FROM fm_train('words', 'words', num_factors => 8, iterations => 3);
SELECT FROM fm_train('uuids', 'uuids', num_factors => 2, iterations => 3);
SELECT FROM fm_train('features', 'ratings', num_factors => 4, iterations => 3, user_features =>
    'people', item_features => 'films', context_columns => '{device,mood}');
SELECT FROM fm_train('history', 'ratings', num_factors => 4, iterations => 3, history => true);
SELECT FROM fm_train('parted', 'ratings_parted', num_factors => 4, iterations => 3);
SELECT FROM fm_train('view', 'ratings_view', num_factors => 4, iterations => 3, weight_column =>
    'weight');
SELECT FROM fm_train('heads', 'ratings', num_factors => 4, iterations => 3, rank_by => 'interest',
    history => true, item_features => 'films', context_columns => '{mood}', time_column => 'rated_at');
SELECT FROM fm_train('xid', 'ratings_xid', num_factors => 2, iterations => 2);
-- each with another version to go to
SELECT FROM (SELECT model FROM fm_models WHERE owner = 'owner' ORDER BY model) m, LATERAL fm_train(model);
CREATE TABLE fm_attached_version AS TABLE fm_als_version;
CREATE TABLE fm_attached_user AS TABLE fm_als_user;
CREATE TABLE fm_attached_item AS TABLE fm_als_item;
CREATE TABLE fm_attached_matrix AS TABLE fm_als_matrix;
ALTER TABLE fm_attached_version ADD PRIMARY KEY (version);
ALTER TABLE fm_attached_user ADD PRIMARY KEY (user_id, version);
ALTER TABLE fm_attached_item ADD PRIMARY KEY (item_id, version);
ALTER TABLE fm_attached_matrix ADD PRIMARY KEY (version, block);
SELECT fm_attach('attached', 'ratings');
SELECT fm_write_top_x('lists_' || model, 5, model) FROM (VALUES ('als'), ('mcmc'), ('yes'), ('rank'),
    ('words'), ('features'), ('history'), ('parted'), ('heads')) m (model);
CREATE TABLE matrices AS SELECT n, fm_matrix_agg(i * n, v, i) AS m
FROM generate_series(1, 5) n, generate_series(1, 20) i, LATERAL (SELECT array_agg((i * f % 7)::real) AS
    v FROM generate_series(1, n) f) f GROUP BY n;
SELECT fm_grant(model, 'reader') FROM fm_models WHERE owner = 'owner';
DO $$ DECLARE c record; BEGIN
	FOR c IN SELECT oid::regclass AS name FROM pg_class WHERE relowner = 'owner'::regrole AND relkind IN
    ('r', 'v', 'm', 'f', 'p') LOOP
		EXECUTE format('GRANT SELECT ON %s TO reader', c.name);
	END LOOP;
END $$;
ANALYZE;
