-- Lists by default on MovieLens 100k: how well they find films held out that the user rated 4 or more, beside
-- a ranking of the same rows; and how well ratings held out are predicted.
\ir ../movielens.sql
\if :absent
\quit
\endif
\ir ../../scripts/movielens.sql
SELECT no_plan();

-- Splits: 0 to 4 hold out a fifth each, by the MD5 of user/item modulo 5 (the sum of its words will do, because
-- powers of 2^32 are 1 modulo 5); 5 holds out each user's last fifth.
CREATE TABLE splits AS
SELECT user_id, item_id, rating, sum % 5 AS fifth,
       5 * row_number() OVER (PARTITION BY user_id ORDER BY rated_at DESC, item_id DESC) <= count(*) OVER (PARTITION BY user_id) AS last
FROM ratings, LATERAL (SELECT sum(('x' || substr(md5(user_id || '/' || item_id), place, 8))::bit(32)::bigint)::bigint AS sum
                       FROM generate_series(1, 25, 8) place) s;
CREATE TABLE shown (user_id integer, item_id integer, rating real);
CREATE INDEX ON shown (user_id);
CREATE TABLE held_out (user_id integer, item_id integer, rating real);

-- The mean NDCG@10 of everybody who likes something that is held out.
CREATE FUNCTION ndcg(asked text) RETURNS float8 LANGUAGE sql AS $$
    SELECT avg(coalesce(got, 0) / (SELECT sum(1 / ln(r + 1.0)) FROM generate_series(1, least(n, 10)) r))
    FROM (SELECT user_id, count(*) AS n FROM held_out WHERE rating >= 4 GROUP BY 1) u
    LEFT JOIN (SELECT h.user_id, sum(1 / ln(rank + 1.0)) AS got FROM fm_top_x_all(10, asked) t
               JOIN held_out h ON h.user_id = t.user_id::int AND h.item_id = t.item_id::int WHERE h.rating >= 4 GROUP BY 1) g
    USING (user_id) $$;
CREATE TABLE found (split integer, two_heads float8, ranking float8, rmse float8);
CREATE PROCEDURE measure(split integer) LANGUAGE plpgsql AS $$
BEGIN
    TRUNCATE shown, held_out;
    INSERT INTO held_out SELECT user_id, item_id, rating FROM splits WHERE CASE split WHEN 5 THEN last ELSE fifth = split END;
    INSERT INTO shown SELECT user_id, item_id, rating FROM splits WHERE NOT CASE split WHEN 5 THEN last ELSE fifth = split END;
    ANALYZE shown;
    PERFORM fm_train('films', 'shown'), fm_train('presence', 'shown', task => 'ranking');
    INSERT INTO found
    SELECT split, ndcg('films'), ndcg('presence'), sqrt(avg((fm_predict(user_id, item_id, 'films') - rating) ^ 2)) FROM held_out;
END $$;
CALL measure(0);
CALL measure(1);
CALL measure(2);
CALL measure(3);
CALL measure(4);
CALL measure(5);
SELECT diag(found::text) FROM found;
SELECT is((SELECT rank_by FROM fm_models WHERE model = 'films'), 'auto', 'by default, lists are by interest');
SELECT cmp_ok(avg(two_heads), '>=', 0.385::float8, 'a random fifth: NDCG@10') FROM found WHERE split < 5;
SELECT cmp_ok(two_heads, '>=', 0.178::float8, 'each user''s last fifth: NDCG@10') FROM found WHERE split = 5;
SELECT cmp_ok(two_heads, '>=', ranking, 'split ' || split || ': not below a ranking of the same rows') FROM found;
SELECT cmp_ok(sqrt(avg(rmse ^ 2)), '<', 0.8875::float8, 'a random fifth: RMSE of fm_predict') FROM found WHERE split < 5;
SELECT * FROM finish();
ROLLBACK;
