-- fm_top_x against a ranking in plain SQL, in double precision, over the exported vectors: for every user,
-- every filter and every kernel, on planted ratings (movielens_exact.sql: on MovieLens 100k).
BEGIN;
CREATE SCHEMA brute_force;
SELECT set_config('search_path', 'brute_force, ' || current_setting('search_path'), true) \g /dev/null
SET client_min_messages = warning;
SELECT * FROM no_plan();

-- Every pair's score and whether the user has rated the item.
CREATE FUNCTION pairs(model text, ratings regclass)
RETURNS TABLE (user_id bigint, item_id bigint, score float8, seen boolean) LANGUAGE plpgsql AS $$
BEGIN
    RETURN QUERY EXECUTE format(
        'WITH u AS MATERIALIZED (SELECT id::bigint, vector FROM fm_user_vectors(%1$L)),
              i AS MATERIALIZED (SELECT id::bigint, vector FROM fm_item_vectors(%1$L))
         SELECT u.id, i.id, (SELECT sum(a::float8 * b) FROM unnest(u.vector, i.vector) AS f(a, b)),
                EXISTS (SELECT FROM %2$s r WHERE r.user_id = u.id AND r.item_id = i.id)
         FROM u, i', model, ratings);
END $$;

CREATE TABLE pair (user_id bigint, item_id bigint, score float8, seen boolean);

-- The lists of every user by brute force; ties by item id.
CREATE FUNCTION expected(x int, unseen boolean, candidates bigint[], exclude bigint[])
RETURNS TABLE (user_id bigint, rank bigint, item_id bigint) LANGUAGE sql AS $$
    SELECT user_id, rank, item_id
    FROM (SELECT user_id, item_id, row_number() OVER (PARTITION BY user_id ORDER BY score DESC, item_id) AS rank
          FROM pair
          WHERE NOT (unseen AND seen) AND item_id = ANY (coalesce(candidates, ARRAY[item_id]))
            AND item_id <> ALL (coalesce(exclude, '{}'))) ranked
    WHERE rank <= x
$$;

CREATE FUNCTION differing(model text, x int, unseen boolean, candidates bigint[], exclude bigint[])
RETURNS bigint LANGUAGE sql AS $$
    WITH got AS (SELECT u.user_id, t.rank::bigint, t.item_id FROM (SELECT DISTINCT user_id FROM pair) u,
                     fm_top_x(u.user_id, x, model, unseen, candidates, exclude) t),
         want AS (SELECT * FROM expected(x, unseen, array_remove(candidates, NULL), array_remove(exclude, NULL)))
    SELECT count(*) FROM ((TABLE got EXCEPT ALL TABLE want) UNION ALL (TABLE want EXCEPT ALL TABLE got)) d
$$;

-- The combinations of filters; `listed` and `others` are lists of item ids.
CREATE FUNCTION check_filters(model text, x int, listed bigint[], others bigint[])
RETURNS SETOF text LANGUAGE sql AS $$
    SELECT is(differing(model, x, unseen, candidates, exclude), 0::bigint,
              format('%s: x %s, unseen %s, %s candidates, %s excluded', model, x, unseen,
                     coalesce(cardinality(candidates)::text, 'all'), coalesce(cardinality(exclude), 0)))
    FROM (VALUES (true), (false)) u (unseen),
         (VALUES (NULL::bigint[]), (listed), ('{}'::bigint[])) c (candidates),
         (VALUES (NULL::bigint[]), (others)) e (exclude)
$$;

-- Planted ratings: clear preferences, some items equal in everything (ties), ids with gaps and below zero.
CREATE TABLE ratings AS
SELECT u * 3 - 50 AS user_id, i * 7 - 100 AS item_id,
       (3 + sin(u) + cos(i % 40) + sin(u * 0.7) * cos(i % 40 * 1.3))::real AS rating
FROM generate_series(1, 60) u, generate_series(1, 70) i WHERE hashint8extended(u * 1000 + i, 1) % 3 = 0;
CREATE INDEX ON ratings (user_id);
SELECT fm_train('planted', 'ratings', num_factors => 5, iterations => 20) \g /dev/null
-- equal vectors: the tie must fall to the smaller id
UPDATE fm_planted_item SET (w, v) = (SELECT w, v FROM fm_planted_item WHERE idx = 10) WHERE idx IN (11, 40, 65);
DELETE FROM fm_planted_matrix;
INSERT INTO fm_planted_matrix SELECT 1, 0, fm_matrix_agg(idx, v, w) FROM fm_planted_item;
INSERT INTO pair SELECT * FROM pairs('planted', 'ratings');
SELECT isnt(count(*), 0::bigint, 'there are ties')
FROM (SELECT FROM pair GROUP BY user_id, score HAVING count(*) > 3) tied;

SELECT check_filters('planted', 7, '{-65,40,61,68,-93,390,-65,NULL,5}', '{61,-93,68,NULL,1000000}');
SELECT check_filters('planted', 1000, '{-65,40,61,68,-93,390,-65,NULL,5}', '{61,-93,68,NULL,1000000}');
SELECT is(differing('planted', 0, true, NULL, NULL), 0::bigint, 'x 0');
SELECT is(differing('planted', 1, true, NULL, NULL), 0::bigint, 'x 1');
SELECT is(differing('planted', 2147483647, false, NULL, NULL), 0::bigint, 'the largest x');

-- Every kernel of this CPU, by name; a name it does not have is refused.
CREATE FUNCTION differing_with(kernel text) RETURNS bigint LANGUAGE plpgsql AS $$
BEGIN
    PERFORM set_config('fmtopx.simd', kernel, true);
    RETURN differing('planted', 20, true, NULL, NULL);
EXCEPTION WHEN invalid_parameter_value THEN
    RETURN NULL;
END $$;
SELECT CASE WHEN d IS NULL THEN skip(kernel || ' is not for this CPU') ELSE is(d, 0::bigint, kernel) END
FROM (SELECT kernel, differing_with(kernel) AS d
      FROM unnest('{auto,avx512,avx2,neon,c}'::text[]) kernel) k;
SELECT isnt(differing_with('c'), NULL, 'plain C is for every CPU');
RESET fmtopx.simd;

-- The score is what fm_predict says, before it is clipped to the ratings' range.
SELECT is(count(*), 0::bigint, 'scores are predictions')
FROM (SELECT DISTINCT user_id FROM pair) u, fm_top_x(u.user_id, 100, 'planted', false) t,
     (SELECT rating_min, rating_max FROM fm_planted_version) v
WHERE abs(fm_predict(u.user_id, t.item_id, 'planted') - greatest(rating_min, least(rating_max, t.score))) > 1e-5;

-- Live: a rating of a moment ago is seen, one that is gone is not.
SELECT item_id AS best FROM fm_top_x(-47, 1, 'planted') \gset
INSERT INTO ratings VALUES (-47, :best, 1);
SELECT isnt(item_id, :best::bigint, 'what was rated a moment ago is not recommended') FROM fm_top_x(-47, 1, 'planted');
SELECT is(count(*), 0::bigint, 'at no rank') FROM fm_top_x(-47, 1000, 'planted') WHERE item_id = :best;
DELETE FROM ratings WHERE user_id = -47 AND item_id = :best;
SELECT is(item_id, :best::bigint, 'what is not rated any more is recommended again') FROM fm_top_x(-47, 1, 'planted');
INSERT INTO ratings SELECT 1, i * 7 - 100, 2 FROM generate_series(1, 70) i;
SELECT is(count(*), 0::bigint, 'nothing for a user who has rated everything') FROM fm_top_x(1, 10, 'planted');
SELECT set_eq($$SELECT rank, item_id FROM fm_top_x(999999, 10, 'planted')$$,
    $$SELECT row_number() OVER (ORDER BY w DESC, item_id)::int, item_id::bigint FROM fm_planted_item
      ORDER BY 1 LIMIT 10$$, 'an unknown user gets the order of the item biases');

-- For all users at once.
SELECT is(count(*), 0::bigint, 'fm_top_x_all is fm_top_x for everybody')
FROM (SELECT user_id::bigint AS u, rank, item_id::bigint AS i, score FROM fm_top_x_all(9, 'planted')) a
FULL JOIN (SELECT u.user_id AS u, t.rank, t.item_id AS i, t.score
           FROM (SELECT DISTINCT user_id FROM pair) u, fm_top_x(u.user_id, 9, 'planted') t) b
    USING (u, rank, i, score)
WHERE a IS NULL OR b IS NULL;

SELECT * FROM finish();
ROLLBACK;
