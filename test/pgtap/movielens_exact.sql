-- MovieLens 100k: the lists of all users are those of a scan in SQL, without items already rated.
\ir ../movielens.sql
\if :absent
\quit
\endif
SET LOCAL work_mem = '256MB';
SET LOCAL jit = off;
\ir ../../scripts/movielens.sql
SELECT plan(11);
SELECT is(users, 943::bigint, 'train') FROM fm_train('films', ratings => 'ratings', iterations => 10);
SELECT cardinality(vector) AS length FROM fm_item_vectors('films') LIMIT 1 \gset

-- Every score, as one expression over columns because that is fast, and every rank.
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
CREATE TABLE ways (unseen boolean, candidates bigint[], exclude bigint[]);
INSERT INTO ways
SELECT unseen, candidates, exclude
FROM (VALUES (false), (true)) u (unseen),
    (SELECT NULL::bigint[] AS candidates UNION ALL SELECT array_agg(item_id) FROM films WHERE hashint4(item_id) % 3 = 0) c,
    (SELECT NULL::bigint[] AS exclude UNION ALL SELECT array_agg(item_id) FROM films WHERE hashint4(item_id) % 7 = 0) e;
CREATE FUNCTION differing(unseen boolean, candidates bigint[], exclude bigint[]) RETURNS bigint LANGUAGE sql AS $$
    SELECT count(*)
    FROM (SELECT user_id, (row_number() OVER (PARTITION BY user_id ORDER BY place))::int AS rank, item_id FROM marked
          WHERE NOT (seen AND unseen) AND (candidate OR candidates IS NULL) AND NOT (excluded AND exclude IS NOT NULL)) w
    FULL JOIN (SELECT u AS user_id, rank, item_id
               FROM generate_series(1, 943) u, fm_top_x(u, 20, 'films', unseen, candidates, exclude)) t
        USING (user_id, rank)
    WHERE rank <= 20 AND w.item_id IS DISTINCT FROM t.item_id
$$;
SELECT is(differing(unseen, candidates, exclude), 0::bigint,
          concat_ws(', ', CASE WHEN unseen THEN 'unseen' ELSE 'all' END, 'candidates' || left(candidates::text, 0),
                    'some excluded' || left(exclude::text, 0)))
FROM ways;
SELECT results_eq(
    $$SELECT user_id::int, rank, item_id::bigint FROM fm_top_x_all(20, 'films') ORDER BY 1, 2$$,
    $$SELECT u, t.rank, t.item_id FROM generate_series(1, 943) u, fm_top_x(u, 20, 'films') t ORDER BY 1, 2$$,
    'fm_top_x_all returns the same lists');

SELECT * FROM finish();
ROLLBACK;
