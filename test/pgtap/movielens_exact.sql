-- MovieLens 100k: the lists of all users are those of a scan in SQL, and none holds what was rated.
\if :{?movielens}
\else
\set movielens ''
\endif
SELECT :'movielens' = '' AS absent \gset
\if :absent
\echo 1..0 # SKIP MovieLens 100k is not here (make test DATA=dir)
\quit
\endif

BEGIN;
CREATE SCHEMA movielens_exact;
SELECT set_config('search_path', 'movielens_exact, ' || current_setting('search_path'), true) \g /dev/null
SET client_min_messages = warning;
SET LOCAL work_mem = '256MB';
SET LOCAL jit = off;
\ir ../../scripts/movielens.sql
SELECT plan(7);
SELECT is(users, 943::bigint, 'train') FROM fm_train('films', ratings => 'ratings', iterations => 10);
SELECT cardinality(vector) AS length FROM fm_item_vectors('films') LIMIT 1 \gset

-- Every score, as one expression over columns, which is the fast way; every rank.
SELECT format('CREATE TABLE %s_columns AS SELECT id::int AS %1$s_id, %s FROM fm_%1$s_vectors(''films'')', side,
              string_agg(format('vector[%s]::float8 AS %s%1$s', f, left(side, 1)), ', '))
FROM unnest('{user,item}'::text[]) side, generate_series(1, :length) f GROUP BY side \gexec
SELECT format('CREATE TABLE ranks AS SELECT user_id, item_id, (row_number() OVER (PARTITION BY user_id '
              'ORDER BY %s DESC, item_id))::int AS place FROM user_columns, item_columns',
              string_agg(format('u%s * i%1$s', f), ' + ' ORDER BY f))
FROM generate_series(1, :length) f \gexec
SELECT is((SELECT count(*) FROM ranks), 943 * 1682::bigint, 'every pair has a rank');

CREATE TABLE marked AS
SELECT r.*, s.user_id IS NOT NULL AS seen, hashint4(item_id) % 3 = 0 AS candidate, hashint4(item_id) % 7 = 0 AS excluded
FROM ranks r LEFT JOIN ratings s USING (user_id, item_id);
CREATE TABLE wanted (way text, user_id int, rank int, item_id bigint, PRIMARY KEY (way, user_id, rank));
CREATE FUNCTION want(way text, eligible text) RETURNS void LANGUAGE plpgsql AS $$
BEGIN
    EXECUTE format('INSERT INTO wanted SELECT %L, * FROM (
        SELECT user_id, (row_number() OVER (PARTITION BY user_id ORDER BY place))::int AS rank, item_id
        FROM marked WHERE %s) r WHERE rank <= 20', way, eligible);
END $$;
SELECT want('all', 'place <= 20'), want('unseen', 'NOT seen'), want('candidates', 'candidate'),
    want('some unseen', 'NOT seen AND candidate AND NOT excluded') \g /dev/null
SELECT array_agg(item_id) FILTER (WHERE hashint4(item_id) % 3 = 0) AS candidates,
    array_agg(item_id) FILTER (WHERE hashint4(item_id) % 7 = 0) AS excluded FROM films \gset

CREATE FUNCTION lists(exclude_seen boolean, candidates bigint[] DEFAULT NULL, exclude bigint[] DEFAULT NULL)
RETURNS TABLE (user_id int, rank int, item_id bigint) LANGUAGE sql STABLE AS $$
    SELECT u, t.rank, t.item_id FROM generate_series(1, 943) u, fm_top_x(u, 20, 'films', $1, $2, $3) t
$$;
SELECT set_eq($$SELECT * FROM lists(false)$$,
              $$SELECT user_id, rank, item_id FROM wanted WHERE way = 'all'$$, 'all items');
SELECT set_eq($$SELECT * FROM lists(true)$$,
              $$SELECT user_id, rank, item_id FROM wanted WHERE way = 'unseen'$$, 'all but those rated');
SELECT set_eq(format($$SELECT * FROM lists(false, %L)$$, :'candidates'),
              $$SELECT user_id, rank, item_id FROM wanted WHERE way = 'candidates'$$, 'only candidates');
SELECT set_eq(format($$SELECT * FROM lists(true, %L, %L)$$, :'candidates', :'excluded'),
              $$SELECT user_id, rank, item_id FROM wanted WHERE way = 'some unseen'$$,
              'candidates but those rated or excluded');
SELECT set_eq($$SELECT user_id::int, rank, item_id::bigint FROM fm_top_x_all(20, 'films')$$,
              $$SELECT user_id, rank, item_id FROM wanted WHERE way = 'unseen'$$, 'for all at once');

SELECT * FROM finish();
ROLLBACK;
