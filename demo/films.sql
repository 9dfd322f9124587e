-- An example: films that people have rated. docs/examples/films.md explains it. Run it in an empty database:
--
--     psql -d films -f demo/films.sql          or without one of your own: make demo EXAMPLE=films
\set ON_ERROR_STOP on
CREATE EXTENSION IF NOT EXISTS fmtopx;

\echo
\echo '1. Make up 240 films, 400 people who like some genres more than others, and what they have rated.'
\echo

-- Reproducible numbers: uniform in (0, 1), and about normal, as functions of three integers.
CREATE FUNCTION pg_temp.uniform(a integer, b integer, c integer) RETURNS double precision
LANGUAGE sql IMMUTABLE AS
$$ SELECT ((hashint8extended(a::bigint << 32 | b, c) & 4503599627370495) + 0.5) / 4503599627370496 $$;

CREATE FUNCTION pg_temp.normal(a integer, b integer, c integer) RETURNS double precision
LANGUAGE sql IMMUTABLE AS
$$ SELECT sqrt(-2 * ln(pg_temp.uniform(a, b, c))) * cos(2 * pi() * pg_temp.uniform(a, b, -c)) $$;

CREATE TEMPORARY TABLE genres (genre_id serial, genre text, beginnings text[], ends text[]);
INSERT INTO genres (genre, beginnings, ends) VALUES
('adventure', '{The Road to,Lost in,Treasure of,The Map to,Storm over,Seven Days in}',
    '{Karambu,the Emerald Delta,Cape Sorrow,the Salt Desert,Mount Irulan}'),
('comedy', '{My Cousin and,Nobody Told,Lunch with,The Trouble with,Too Late for,Ask}',
    '{the Mayor,Aunt Philippa,the Twins,Mister Bobble,the Plumber}'),
('crime', '{A Witness in,The Ledger of,Night Shift in,Two Shots in,The Inspector of,Alibi for}',
    '{Harbour Street,Quarry Hill,Room Twelve,Saint Orme,Dock Nine}'),
('documentary', '{A Year with,The Secret Life of,Listening to,The Last of,Who Owns,A Short History of}',
    '{the Bees,the Glaciers,the Lighthouses,the Night Trains,the River}'),
('horror', '{The Cellar of,Whispers from,Do Not Wake,The Guests of,Thirteen Nights at,Something in}',
    '{Hollow House,the Old Well,Gravemoor,the Puppet Maker,Ward Six}'),
('romance', '{A Letter from,Dancing in,Spring in,The Pianist of,Meet Me in,Once More in}',
    '{Lisbon,Almond Lane,Trieste,the Rain,September}'),
('sci-fi', '{Signals from,Colony on,The Clock of,Drifting to,The Engineers of,Beyond}',
    '{Station Vega,the Ninth Moon,Kepler Ridge,the Far Ring,a Cold Sun}'),
('western', '{Dust over,The Sheriff of,Gold in,A Rope for,Last Train to,The Widow of}',
    '{Dry Creek,Red Mesa,Coyote Pass,Abilene Fork,Silver Gulch}');

CREATE TABLE films (film_id integer PRIMARY KEY, title text NOT NULL, year integer NOT NULL,
                    genres text[] NOT NULL);
INSERT INTO films
SELECT n, title, 1960 + floor(60 * sqrt(pg_temp.uniform(n, 0, 1)))::integer,
       -- A third of the films are of two genres.
       CASE WHEN pg_temp.uniform(n, 1, 1) < 0.33
            THEN ARRAY[genre, (SELECT genre FROM genres o WHERE o.genre <> g.genre
                               ORDER BY pg_temp.uniform(n, o.genre_id, 2) LIMIT 1)]
            ELSE ARRAY[genre] END
FROM (SELECT row_number() OVER (ORDER BY b, e, genre_id)::integer AS n, genre,
             beginnings[b] || ' ' || ends[e] AS title
      FROM genres, generate_series(1, 6) b, generate_series(1, 5) e) g;

-- What the model has to find out: everybody loves two genres, and some like old films.
CREATE TABLE planted AS
SELECT u AS person_id,
       ARRAY(SELECT genre FROM genres ORDER BY pg_temp.uniform(u, genre_id, 3) LIMIT 2) AS loves,
       0.3 * pg_temp.normal(u, 1, 4) AS generosity, 0.5 * pg_temp.normal(u, 2, 4) AS modern
FROM generate_series(1, 400) u;

-- The better known a film is and the more somebody will like it, the likelier they see and rate it.
CREATE TABLE ratings (person_id integer, film_id integer, rating integer NOT NULL, rated_on date NOT NULL,
                      PRIMARY KEY (person_id, film_id));
INSERT INTO ratings
SELECT person_id, film_id,
       least(5, greatest(1, round(liking + 0.6 * pg_temp.normal(person_id, film_id, 5))))::integer,
       date '2026-01-01' + floor(90 * pg_temp.uniform(person_id, film_id, 6))::integer
FROM (SELECT p.person_id, f.film_id, 0.7 / (1 + 0.02 * f.film_id) AS fame,
             2.6 + generosity + modern * (year - 2000) / 20.0 + 0.4 * pg_temp.normal(f.film_id, 0, 7)
             + 1.5 * (SELECT count(*) FROM unnest(f.genres) g WHERE g = ANY (loves)) AS liking
      FROM planted p CROSS JOIN films f) l
WHERE pg_temp.uniform(person_id, film_id, 8) < fame * exp(least(0, liking - 4.5));
ANALYZE;

SELECT count(*) AS ratings, count(DISTINCT person_id) AS people, count(DISTINCT film_id) AS films,
       round(avg(rating), 2) AS mean
FROM ratings;

\echo '2. Train on what was rated before 15 March, and see how well that tells what came later. rmse is the'
\echo '   error of predicted ratings; recall and ndcg say how many of the films rated later and liked are in'
\echo '   lists of ten, and how far up. coverage is the share of films that are in any list. The baseline is'
\echo '   what there is without a model: means, and the most popular films.'
\echo

CREATE VIEW film_features AS SELECT film_id, genres, year / 10 * 10 AS decade FROM films;
CREATE VIEW ratings_before AS SELECT * FROM ratings WHERE rated_on < '2026-03-15';
CREATE VIEW ratings_after AS SELECT * FROM ratings WHERE rated_on >= '2026-03-15';

SELECT version, ratings FROM fm_train('films', ratings => 'ratings_before', user_column => 'person_id',
                                      item_column => 'film_id', item_features => 'film_features');

SELECT metric, round(value::numeric, 3) AS model, round(baseline::numeric, 3) AS baseline
FROM fm_evaluate('ratings_after', 'films')
WHERE metric IN ('rmse', 'recall_at_x', 'ndcg_at_x', 'coverage');

\echo '3. Train on all ratings. What person 7 has rated highest, and what they have not seen and should:'
\echo

SELECT version, ratings FROM fm_train('films', ratings => 'ratings', user_column => 'person_id',
                                      item_column => 'film_id', item_features => 'film_features');

SELECT r.rating, f.title, f.year, f.genres
FROM ratings r JOIN films f USING (film_id)
WHERE r.person_id = 7 ORDER BY r.rating DESC, f.film_id LIMIT 5;

SELECT t.rank, f.title, f.year, f.genres, round(t.rating::numeric, 1) AS rating
FROM fm_top_x(7, 5, 'films') t JOIN films f ON f.film_id = t.item_id
ORDER BY t.rank;

\echo '4. Films that the same people choose as this one:'
\echo

SELECT film_id, title, genres FROM films WHERE title = 'Signals from Station Vega';

SELECT s.rank, f.title, f.genres, round(s.score::numeric, 2) AS cosine
FROM films seed, fm_similar_items(seed.film_id, 5, 'films') s JOIN films f ON f.film_id = s.item_id
WHERE seed.title = 'Signals from Station Vega'
ORDER BY s.rank;

\echo '5. Why person 7 is recommended the first film of the list: what counts most.'
\echo

SELECT e.term, round(e.contribution::numeric, 3) AS contribution
FROM fm_top_x(7, 1, 'films') t, fm_explain(7, t.item_id, 'films') e
ORDER BY e.contribution DESC LIMIT 5;

\echo '6. Everybody''s ten best, in a table. Three people, with the genres that they were made to love:'
\echo

SELECT fm_write_top_x('recommendations', 10, 'films') AS rows_written;

SELECT r.user_id AS person, p.loves, r.rank, f.title, f.genres
FROM recommendations r
JOIN films f ON f.film_id = r.item_id
JOIN planted p ON p.person_id = r.user_id
WHERE r.user_id IN (7, 42, 200) AND r.rank <= 3
ORDER BY r.user_id, r.rank;

\echo '   The share of films of a genre that the person loves, in percent: of what was recommended, of the'
\echo '   most popular films that the person has not seen, and of all films.'
\echo

WITH popular AS (
    SELECT p.person_id, f.film_id,
           row_number() OVER (PARTITION BY p.person_id ORDER BY f.raters DESC, f.film_id) AS rank
    FROM planted p
    CROSS JOIN (SELECT film_id, count(*) AS raters FROM ratings GROUP BY film_id) f
    WHERE NOT EXISTS (SELECT FROM ratings r WHERE r.person_id = p.person_id AND r.film_id = f.film_id)
), lists AS (
    SELECT 'recommended' AS list, user_id AS person_id, item_id AS film_id FROM recommendations
    UNION ALL SELECT 'most popular', person_id, film_id FROM popular WHERE rank <= 10
    UNION ALL SELECT 'all films', person_id, film_id FROM planted, films
)
SELECT list, round(100 * avg((f.genres && p.loves)::integer)) AS loved
FROM lists JOIN films f USING (film_id) JOIN planted p USING (person_id)
GROUP BY list
ORDER BY loved DESC;
