-- Lists for people of whom nothing is known, on MovieLens 100k: five times a fifth of the users is left
-- out of the training, and what they like is compared with their lists.
\ir ../movielens.sql
\if :absent
\quit
\endif
\ir ../../scripts/movielens.sql
SELECT plan(5);

CREATE TABLE fold AS SELECT user_id, abs(hashint8extended(user_id, 17)) % 5 AS f FROM users;
CREATE TABLE likes AS SELECT f, user_id, item_id FROM ratings JOIN fold USING (user_id) WHERE rating >= 4;
CREATE TABLE lists (f integer, what text, user_id integer, item_id bigint, rank bigint);
CREATE TABLE shown (user_id integer, item_id integer, rating real);
CREATE INDEX ON shown (user_id);

-- Half the iterations of a training by default: lists hardly depend on the ratings' part.
CREATE PROCEDURE leave_out(out_fold integer) LANGUAGE plpgsql AS $$
BEGIN
    TRUNCATE shown;
    INSERT INTO shown SELECT user_id, item_id, rating FROM ratings JOIN fold USING (user_id) WHERE f <> out_fold;
    PERFORM fm_train('films', 'shown', rank_by => 'interest', iterations => 50);
    PERFORM fm_train('known', 'shown', user_features => 'users', rank_by => 'interest', iterations => 50);
    INSERT INTO lists SELECT f, 'most liked', user_id, item_id, rank FROM (SELECT DISTINCT f, user_id FROM likes WHERE f = out_fold) u,
        (SELECT item_id, row_number() OVER (ORDER BY count(*) DESC, item_id) AS rank FROM shown WHERE rating >= 4 GROUP BY item_id ORDER BY 2 LIMIT 10) t;
    INSERT INTO lists SELECT f, model, user_id, item_id, rank FROM (SELECT DISTINCT f, user_id FROM likes WHERE f = out_fold) u,
        unnest('{films,known}'::text[]) model, fm_top_x(user_id, 10, model);
END $$;
CALL leave_out(0);
CALL leave_out(1);
CALL leave_out(2);
CALL leave_out(3);
CALL leave_out(4);

-- The mean NDCG@10 of everybody who likes something.
CREATE FUNCTION ndcg(asked text) RETURNS float8 LANGUAGE sql AS $$
    SELECT avg(coalesce(got, 0) / (SELECT sum(1 / ln(r + 1.0)) FROM generate_series(1, least(n, 10)) r))
    FROM (SELECT user_id, count(*) AS n FROM likes GROUP BY 1) u
    LEFT JOIN (SELECT user_id, sum(1 / ln(rank + 1.0)) AS got FROM likes JOIN lists USING (user_id, item_id) WHERE what = asked GROUP BY 1) g
    USING (user_id) $$;
SELECT is(count(*), 0::bigint, 'nobody''s list is shorter') FROM (SELECT FROM lists GROUP BY what, user_id HAVING count(*) <> 10) l;
SELECT is(max(n), 1::bigint, 'whoever is left out gets the same list as any stranger')
FROM (SELECT count(DISTINCT items) AS n FROM (SELECT f, array_agg(item_id ORDER BY rank) AS items FROM lists WHERE what = 'films' GROUP BY f, user_id) l GROUP BY f) n;
SELECT cmp_ok(ndcg('films'), '>', 0.39::float8, 'strangers get films that they like');
SELECT cmp_ok(ndcg('films'), '>', ndcg('most liked') - 0.004, 'about as often as from a list of those most liked');
SELECT cmp_ok(ndcg('known'), '>', ndcg('most liked') + 0.002, 'more often those whose age, gender and occupation are known');
SELECT * FROM finish();
