-- An example: a news site, where readers change, and what there is to read is new every day.
-- docs/examples/news.md explains it. Run it in an empty database:
--
--     psql -d news -f demo/news.sql            or without one of your own: make demo EXAMPLE=news
\set ON_ERROR_STOP on
CREATE EXTENSION IF NOT EXISTS fmtopx;

\echo
\echo '1. Make up 20 articles a day from 1 to 11 March, two for each of ten topics, and 300 readers with two'
\echo '   topics each. On 6 March a third of them change one. It is the morning of the 11th.'
\echo

-- Reproducible numbers: uniform in (0, 1) as a function of three integers.
CREATE FUNCTION pg_temp.uniform(a integer, b integer, c integer) RETURNS double precision
LANGUAGE sql IMMUTABLE AS
$$ SELECT ((hashint8extended(a::bigint << 32 | b, c) & 4503599627370495) + 0.5) / 4503599627370496 $$;

CREATE TABLE topics (topic_id serial, topic text, beginnings text[], ends text[]);
INSERT INTO topics (topic, beginnings, ends) VALUES
('culture', '{The city opera,A debut novel,A street festival,An old cinema,The toy museum}',
    '{draws record crowds,divides the critics,moves to the docks,wins a prize,opens its doors at night}'),
('economy', '{The port,A chain of bakeries,The railway,A maker of pumps,The central bank}',
    '{hires again,cuts its forecast,raises prices,warns of shortages,expects a good year}'),
('food', '{Rhubarb,Sourdough,Lentils,Smoked trout,Pickled cabbage}',
    '{for a quick supper,as grandmother made it,on a small budget,with a twist,in thirty minutes}'),
('football', '{Rovers,Harbour City,The Wanderers,Northgate,Valley United}',
    '{sign a young keeper,win in the last minute,lose at home,part with their coach,open a new stand}'),
('health', '{Short walks,Good sleep,Cold baths,Less sugar,Choir singing}',
    '{against stress,in old age,put to the test,and the heart,and what studies say}'),
('politics', '{The council,The minister,The opposition,A committee,The mayor}',
    '{puts off the vote,defends the budget,proposes a bridge,faces questions,agrees on school meals}'),
('science', '{A telescope,A deep-sea probe,A new battery,A lab in the hills,A rare fossil}',
    '{surprises its makers,raises questions,breaks a record,is ahead of schedule,changes a theory}'),
('technology', '{A browser,A phone maker,A games studio,A chip plant,A search engine}',
    '{promises longer support,delays its release,mends a serious flaw,drops its fees,opens its archives}'),
('travel', '{By night train,On foot,By bicycle,By ferry,With children}',
    '{to the salt lakes,along the old border,through the vineyards,to the northern isles,across the moor}'),
('weather', '{Storms,A dry spring,Late frosts,Warm nights,Heavy snowfalls}',
    '{in the hills,and what follows,put to the record,along the coast,earlier than usual}');

CREATE TABLE articles (article_id integer PRIMARY KEY, headline text NOT NULL, topic text NOT NULL,
                       published date NOT NULL);
INSERT INTO articles
SELECT row_number() OVER (ORDER BY n, topic_id), headline, topic, date '2026-03-01' + ((n - 1) / 2)::integer
FROM (SELECT topic_id, topic, beginnings[b] || ' ' || ends[e] AS headline,
             row_number() OVER (PARTITION BY topic_id ORDER BY pg_temp.uniform(topic_id, b * 10 + e, 1)) AS n
      FROM topics, generate_series(1, 5) b, generate_series(1, 5) e) AS h
WHERE n <= 22;

-- What the model has to find out: the topics of each reader, before and since 6 March.
CREATE TABLE planted AS
SELECT r AS reader_id, t[1:2] AS before, CASE WHEN r % 3 = 0 THEN t[2:3] ELSE t[1:2] END AS since
FROM generate_series(1, 300) r,
     LATERAL (SELECT ARRAY(SELECT topic FROM topics ORDER BY pg_temp.uniform(r, topic_id, 2) LIMIT 3) AS t) l;

-- Readers open what they are interested in, and seldom something else, of which they read less.
CREATE TABLE visits (reader_id integer NOT NULL, article_id integer NOT NULL, opened timestamp NOT NULL,
                     share_read real NOT NULL);
INSERT INTO visits
SELECT reader_id, article_id, published + interval '1 day' * pg_temp.uniform(reader_id, article_id, 3),
       (CASE WHEN keen THEN 0.5 ELSE 0.1 END + 0.5 * pg_temp.uniform(reader_id, article_id, 4))
FROM (SELECT reader_id, article_id, published,
             topic = ANY (CASE WHEN published < '2026-03-06' THEN before ELSE since END) AS keen
      FROM planted CROSS JOIN articles WHERE published < '2026-03-11') AS p
WHERE pg_temp.uniform(reader_id, article_id, 5)
      < CASE WHEN keen THEN 0.5 ELSE 0.04 END * (0.5 + pg_temp.uniform(article_id, 0, 6));
CREATE INDEX ON visits (reader_id, article_id);
ANALYZE;

SELECT count(*) AS visits, count(DISTINCT reader_id) AS readers, count(DISTINCT article_id) AS articles_read,
       (SELECT count(*) FROM articles) AS articles
FROM visits;

\echo '2. Train before dawn, with the topics of all articles, also of those that nobody has read. With'
\echo '   time_column what readers did lately counts more.'
\echo

CREATE VIEW article_features AS SELECT article_id, topic FROM articles;

SELECT version, users, items, ratings
FROM fm_train('news', ratings => 'visits', user_column => 'reader_id', item_column => 'article_id',
              rating_column => 'share_read', item_features => 'article_features', time_column => 'opened');

\echo '3. What is left to read today: the front page of reader 7, and what they are interested in.'
\echo

CREATE VIEW today AS SELECT article_id FROM articles WHERE published = '2026-03-11';

SELECT since AS interests FROM planted WHERE reader_id = 7;

SELECT t.rank, a.headline, a.topic
FROM fm_top_x(7, 4, 'news', candidates => ARRAY(SELECT article_id FROM today)) t
JOIN articles a ON a.article_id = t.item_id
ORDER BY t.rank;

\echo '   Of the first four articles of those who have changed a topic, how many percent are of the topics'
\echo '   that they have now, with time_column and without.'
\echo

SELECT version FROM fm_train('timeless', ratings => 'visits', user_column => 'reader_id',
                             item_column => 'article_id', rating_column => 'share_read',
                             item_features => 'article_features');

SELECT m.model, round(100 * avg((a.topic = ANY (p.since))::integer)) AS topics_of_now
FROM (VALUES ('news'), ('timeless')) AS m (model)
CROSS JOIN planted p
CROSS JOIN LATERAL fm_top_x(p.reader_id, 4, m.model, candidates => ARRAY(SELECT article_id FROM today)) t
JOIN articles a ON a.article_id = t.item_id
WHERE p.since <> p.before
GROUP BY m.model
ORDER BY m.model;

SELECT fm_drop('timeless');

\echo '4. A visitor without an account has read two articles to the end. What next?'
\echo

SELECT headline, topic FROM articles WHERE article_id IN (183, 185);

SELECT t.rank, a.headline, a.topic
FROM fm_top_x_for(ARRAY[183, 185], ratings => ARRAY[1, 1], x => 4, model => 'news',
                  candidates => ARRAY(SELECT article_id FROM today)) t
JOIN articles a ON a.article_id = t.item_id
ORDER BY t.rank;

\echo '5. At ten there is news. The model does not know the article, but some readers find it, one of them'
\echo '   new. fm_fold_in takes what happened this morning into the model, without another training.'
\echo

INSERT INTO articles
VALUES (221, 'Harbour bridge closed after a ship runs into it', 'politics', '2026-03-11');
INSERT INTO visits
SELECT reader_id, article_id, timestamp '2026-03-11 10:30', 0.9
FROM planted CROSS JOIN articles
WHERE published = '2026-03-11' AND pg_temp.uniform(reader_id, article_id, 5)
      < CASE WHEN topic = ANY (since) THEN 0.12 ELSE 0.01 END * CASE article_id WHEN 221 THEN 3 ELSE 1 END;
INSERT INTO visits VALUES (301, 221, '2026-03-11 10:40', 1), (301, 203, '2026-03-11 10:50', 1);

SELECT count(*) AS listed_before
FROM fm_top_x(1, 30, 'news', candidates => ARRAY(SELECT article_id FROM today)) WHERE item_id = 221;

SELECT message FROM fm_fold_in('news');

SELECT count(*) AS listed_now
FROM fm_top_x(1, 30, 'news', candidates => ARRAY(SELECT article_id FROM today)) WHERE item_id = 221;

\echo '6. The front pages of all readers, in a table: what they have not read today.'
\echo

SELECT fm_write_top_x('front_pages', 3, 'news', users => 'visits', items => 'today') AS rows_written;

SELECT f.user_id AS reader, p.since AS interests, f.rank, a.headline, a.topic
FROM front_pages f
JOIN articles a ON a.article_id = f.item_id
LEFT JOIN planted p ON p.reader_id = f.user_id
WHERE f.user_id IN (7, 34, 301)
ORDER BY f.user_id, f.rank;

\echo '   The share of articles of topics of the reader, in percent: on front pages, and of all of today.'
\echo

SELECT round(100 * avg((a.topic = ANY (p.since))::integer)) AS on_front_pages,
       (SELECT round(100 * avg((topic = ANY (since))::integer))
        FROM planted, articles JOIN today USING (article_id)) AS of_today
FROM front_pages f JOIN articles a ON a.article_id = f.item_id JOIN planted p ON p.reader_id = f.user_id;
