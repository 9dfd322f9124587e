-- See filters.sh. Items follow a power law; the model is rough, since only its shape matters here. It has two
-- heads, so that a new user is fitted to their ratings twice.
\set QUIET on
\pset footer off
SET client_min_messages = warning;
CREATE EXTENSION fmtopx;
CREATE TABLE times (what text, beside text, workers boolean, run integer, ms double precision);

SELECT setseed(0.5) \g /dev/null
CREATE FUNCTION rate(first integer, last integer, items integer)
RETURNS TABLE (user_id integer, item_id integer, rating real) LANGUAGE sql AS $$
    SELECT u, least(items, floor(items ^ random()))::integer, (1 + floor(5 * random()))::real
    FROM generate_series(first, last) u, generate_series(1, 20)
$$;
CREATE TABLE ratings AS SELECT * FROM rate(1, :users, :items);
INSERT INTO ratings SELECT 1 + i % :users, i, 3 FROM generate_series(1, :items) i;
CREATE INDEX ON ratings (user_id);
VACUUM ANALYZE ratings;
\echo 'training'
SELECT status
FROM fm_train('m', 'ratings', solver => 'als', num_factors => 64, iterations => 2);
INSERT INTO ratings SELECT * FROM rate(:users + 1, :users + :new, :items);
VACUUM ANALYZE ratings;

CREATE TABLE some_users AS SELECT u AS user_id FROM generate_series(1, :users) u WHERE u % 7 = 0;
CREATE TABLE some_items AS SELECT i AS item_id FROM generate_series(1, :items) i WHERE i % 5 = 0;
CREATE TABLE known_users AS SELECT u AS user_id FROM generate_series(1, :new) u;
CREATE TABLE new_users AS SELECT u AS user_id FROM generate_series(:users + 1, :users + :new) u;
VACUUM ANALYZE;

CREATE PROCEDURE timed(what text, beside text, run integer, arguments text) LANGUAGE plpgsql AS $$
DECLARE
    began timestamptz;
BEGIN
    FOR workers IN 0 .. 1 LOOP
        PERFORM set_config('max_parallel_maintenance_workers', (2 * workers)::text, false);
        began := clock_timestamp();
        EXECUTE format('SELECT count(*) FROM fm_top_x_all(20, ''m''%s)', arguments);
        INSERT INTO times
        VALUES (what, beside, workers = 1, run, 1000 * extract(epoch FROM clock_timestamp() - began));
    END LOOP;
END $$;

-- Compare the lists of 1000 users with fm_top_x.
CREATE PROCEDURE check_lists(users regclass, items regclass) LANGUAGE plpgsql AS $$
DECLARE
    candidates bigint[];
    differing bigint;
BEGIN
    IF items IS NOT NULL THEN
        EXECUTE format('SELECT array_agg(item_id) FROM %s', items) INTO candidates;
    END IF;
    EXECUTE format('CREATE TEMP TABLE lists AS
        SELECT * FROM fm_top_x_all(20, ''m'', users => %L, items => %L)', users, items);
    EXECUTE format('SELECT count(*) FROM (SELECT s.user_id::text, t.rank, t.item_id::text, t.score, t.rating
        FROM (SELECT user_id FROM %s ORDER BY hashint4(user_id) LIMIT 1000) s,
            fm_top_x(s.user_id, 20, ''m'', candidates => $1) t
        EXCEPT ALL TABLE lists) d', users) USING candidates INTO differing;
    IF differing > 0 OR (SELECT count(*) FROM lists) = 0 THEN
        RAISE '% rows of the lists of % to % are wrong', differing, items, users;
    END IF;
    DROP TABLE lists;
END $$;
CALL check_lists('some_users', 'some_items');
CALL check_lists('some_users', NULL);
CALL check_lists('new_users', NULL);

SELECT format($f$ CALL timed('all to all', NULL, %1$s, '');
CALL timed('some items to some users', 'all to all', %1$s,
           $$, users => 'some_users', items => 'some_items'$$);
CALL timed('all to some users', 'all to all', %1$s, $$, users => 'some_users'$$);
CALL timed('some items to all', 'all to all', %1$s, $$, items => 'some_items'$$);
CALL timed('to users known', NULL, %1$s, $$, users => 'known_users'$$);
CALL timed('to as many new', 'to users known', %1$s, $$, users => 'new_users'$$); $f$, run)
FROM generate_series(1, 3) run \gexec

\echo
SELECT t.what, t.workers, min(t.ms)::integer AS ms, t.beside,
    round((min(t.ms) / min(o.ms))::numeric, 2) AS ratio
FROM times t LEFT JOIN times o ON o.what = t.beside AND o.workers = t.workers
GROUP BY 1, 2, 4 ORDER BY min(t.ms) DESC;
