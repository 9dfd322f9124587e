-- Vectors of a model as pgvector's types, and the neighbours that its indexes find beside the lists of fm_top_x.
SELECT count(*) = 0 AS absent FROM pg_available_extensions WHERE name = 'vector' \gset
\if :absent
\echo 1..0 # SKIP pgvector is not installed
\quit
\endif
BEGIN;
SET client_min_messages = warning;
CREATE SCHEMA pgvector;
SET search_path = pgvector, public;
CREATE EXTENSION vector;
SELECT plan(9);
CREATE TABLE ratings AS
SELECT u AS user_id, i AS item_id, (3 + sin(u) + cos(i) + sin(u * 0.7) * cos(i * 1.3))::real AS rating
FROM generate_series(1, 60) u, generate_series(1, 300) i WHERE hashint8extended(u * 1000 + i, 1) % 3 = 0;
SELECT lives_ok($$SELECT fm_train('one', 'ratings', num_factors => 8, iterations => 20, rank_by => 'rating')$$, 'a model of one head');
SELECT lives_ok($$SELECT fm_train('two', 'ratings', num_factors => 8, iterations => 20)$$, 'a model of two heads');

-- The neighbours of each user by a scan, and those by an index.
CREATE FUNCTION neighbours(model text, type text, indexed boolean)
RETURNS TABLE (user_id text, score float8, item_id text) LANGUAGE plpgsql AS $$
BEGIN
    EXECUTE format('CREATE TEMP TABLE i ON COMMIT DROP AS SELECT id, vector::%1$s(%2$s) AS v FROM fm_item_vectors(%3$L)', type,
                   (SELECT array_length(vector, 1) FROM fm_item_vectors(model) LIMIT 1), model);
    EXECUTE format('CREATE TEMP TABLE u ON COMMIT DROP AS SELECT id, vector::%1$s AS v FROM fm_user_vectors(%2$L)', type, model);
    IF indexed THEN
        EXECUTE format('CREATE INDEX ON i USING hnsw (v %s_ip_ops)', type);
        SET LOCAL enable_seqscan = off;
        SET LOCAL enable_sort = off;
    END IF;
    RETURN QUERY SELECT u.id, -n.distance, n.id FROM u CROSS JOIN LATERAL
        (SELECT i.id, i.v <#> u.v AS distance FROM i ORDER BY i.v <#> u.v LIMIT 10) n;
    RESET enable_seqscan;
    RESET enable_sort;
    DROP TABLE i, u;
END $$;

-- The share of items of the lists that are among the neighbours.
CREATE FUNCTION shared(model text, type text, indexed boolean) RETURNS float8 LANGUAGE sql AS $$
    SELECT count(n.item_id)::float8 / count(*)
    FROM fm_top_x_all(10, model, exclude_seen => false) t
    LEFT JOIN neighbours(model, type, indexed) n USING (user_id, item_id)
$$;
SELECT cmp_ok(shared('one', 'vector', false), '>=', 0.999::float8, 'the neighbours of a scan are the lists');
SELECT cmp_ok(shared('two', 'vector', false), '>=', 0.999::float8, 'of two heads, too');
SELECT cmp_ok(shared('one', 'vector', true), '>', 0.95::float8, 'an index finds nearly all of them');
SELECT cmp_ok(shared('two', 'vector', true), '>', 0.95::float8, 'of two heads, too');
SELECT cmp_ok(shared('one', 'halfvec', true), '>', 0.9::float8, 'with half the bits most');
CREATE TABLE their_users AS SELECT user_id, v::vector AS embedding FROM fm_one_user;
CREATE TABLE their_items AS SELECT item_id, v::vector AS embedding FROM fm_one_item;
CREATE VIEW user_arrays AS SELECT user_id, embedding::real[] AS v FROM their_users;
CREATE VIEW item_arrays AS SELECT item_id, embedding::real[] AS v FROM their_items;
SELECT is((fm_import_arrays('back', 'user_arrays', 'item_arrays', 'ratings')).users, 60::bigint, 'vectors of pgvector come in');
SELECT is(v, (SELECT v FROM fm_one_user WHERE user_id = 7), 'bit for bit') FROM fm_back_user WHERE user_id = 7;
SELECT * FROM finish();
ROLLBACK;
