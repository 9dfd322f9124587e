-- An example: a shop with purchases, stock and a weekly mailing. docs/examples/shop.md explains it. Run it in
-- an empty database:
--
--     psql -d shop -f demo/shop.sql            or without one of your own: make demo EXAMPLE=shop
\set ON_ERROR_STOP on
CREATE EXTENSION IF NOT EXISTS fmtopx;

\echo
\echo '1. Make up 200 products in ten categories, 300 customers, and a year of purchases.'
\echo

-- Reproducible numbers: uniform in (0, 1) as a function of three integers.
CREATE FUNCTION pg_temp.uniform(a integer, b integer, c integer) RETURNS double precision
LANGUAGE sql IMMUTABLE AS
$$ SELECT ((hashint8extended(a::bigint << 32 | b, c) & 4503599627370495) + 0.5) / 4503599627370496 $$;

CREATE TEMPORARY TABLE categories (category_id serial, category text, kinds text[], things text[]);
INSERT INTO categories (category, kinds, things) VALUES
('cats', '{Soft,Corner,Travel,Wool,Cardboard}', '{cat bed,scratching post,cat tunnel,cat blanket}'),
('coffee', '{Dark roast,Decaf,Highland,Breakfast,Smoky}', '{coffee beans,espresso pods,drip bags,cold brew}'),
('cycling', '{City,Gravel,Night,Touring,Alpine}', '{bike light,saddle bag,cycling gloves,bike pump}'),
('dogs', '{Rope,Puppy,Rugged,Reflective,Beach}', '{dog lead,dog collar,chew toy,dog coat}'),
('garden', '{Heirloom,Balcony,Copper,Cottage,Shade}', '{tomato seeds,watering can,planter,herb kit}'),
('hiking', '{Ultralight,Trail,Winter,Summit,Waterproof}', '{rucksack,tent,hiking socks,head torch}'),
('kitchen', '{Walnut,Cast-iron,Enamel,Stoneware,Beech}', '{mixing bowl,serving board,casserole,spoon rest}'),
('knitting', '{Merino,Alpaca,Speckled,Chunky,Linen}', '{yarn,shawl kit,sock kit,mitten kit}'),
('stationery', '{Dotted,Recycled,Pocket,Indigo,Clothbound}', '{notebook,diary,sketch pad,letter set}'),
('woodwork', '{Bench,Pocket,Japanese,Fine,Left-handed}', '{plane,chisel,hand saw,marking gauge}');

CREATE TABLE products (product_id integer PRIMARY KEY, name text NOT NULL, category text NOT NULL,
                       stock integer NOT NULL);
INSERT INTO products
SELECT row_number() OVER (ORDER BY pg_temp.uniform(category_id, k * 10 + t, 1)), kinds[k] || ' ' || things[t],
       category, floor(60 * pg_temp.uniform(category_id, k * 10 + t, 2) ^ 3)::integer
FROM categories, generate_series(1, 5) k, generate_series(1, 4) t;

CREATE TABLE customers (customer_id integer PRIMARY KEY, name text NOT NULL, email text NOT NULL,
                        wants_mail boolean NOT NULL);
INSERT INTO customers
SELECT n, first || ' ' || last, lower(first || '.' || last) || '@example.com', pg_temp.uniform(n, 0, 3) < 0.3
FROM (SELECT row_number() OVER (ORDER BY pg_temp.uniform(f, l, 4))::integer AS n, firsts[f] AS first,
             lasts[l] AS last
      FROM (SELECT '{Ada,Bela,Carla,Dora,Emil,Fritz,Greta,Hugo,Ines,Jonas,Kaya,Lars,Mina,Nora,Otto,Paula,Rosa,
                     Sven,Tilda,Yusuf}'::text[] AS firsts,
                   '{Abel,Brook,Castel,Dietz,Ekman,Fiore,Grau,Holm,Ivers,Juhl,Koval,Lind,Moro,Novak,
                     Orsini}'::text[] AS lasts) AS names,
           generate_series(1, 20) f, generate_series(1, 15) l) AS c;

-- What the model has to find out: everybody is interested in three of the categories.
CREATE TABLE planted AS
SELECT customer_id, ARRAY(SELECT category FROM categories
                          ORDER BY pg_temp.uniform(customer_id, category_id, 5) LIMIT 3) AS interests
FROM customers;

-- Some products sell better than others.
CREATE TABLE purchases (customer_id integer NOT NULL, product_id integer NOT NULL, pieces integer NOT NULL,
                        bought_on date NOT NULL);
INSERT INTO purchases
SELECT t.customer_id, p.product_id,
       1 + floor(3 * pg_temp.uniform(t.customer_id, p.product_id, 6) ^ 3)::integer,
       date '2026-03-31' - floor(365 * pg_temp.uniform(t.customer_id, p.product_id, 7))::integer
FROM planted t CROSS JOIN products p
WHERE pg_temp.uniform(t.customer_id, p.product_id, 8)
      < CASE WHEN p.category = ANY (t.interests) THEN 0.4 ELSE 0.03 END / (0.7 + 0.01 * p.product_id);
CREATE INDEX ON purchases (customer_id, product_id);
ANALYZE;

SELECT count(*) AS purchases, count(DISTINCT customer_id) AS customers,
       count(DISTINCT product_id) AS products, (SELECT count(*) FROM products WHERE stock > 0) AS in_stock
FROM purchases;

\echo '2. Train on purchases. There are no ratings, so the task is a ranking. A tenth is held out for a test:'
\echo '   how much of it is in lists of ten, and how far up, beside lists of bestsellers.'
\echo

CREATE TEMPORARY TABLE run AS
SELECT * FROM fm_train('shop', ratings => 'purchases', user_column => 'customer_id',
                       item_column => 'product_id', weight_column => 'pieces', task => 'ranking',
                       test_size => 0.1);

SELECT metric, round((test_metrics ->> metric)::numeric, 3) AS model,
       round((test_metrics #>> ARRAY['baseline', metric])::numeric, 3) AS bestsellers
FROM run CROSS JOIN unnest(ARRAY['recall_at_10', 'ndcg_at_10']) AS metric;

\echo '3. The weekly mailing: lists for those who want it, of what is in stock. Mails show five products, at'
\echo '   most two of a category. This is the first:'
\echo

CREATE VIEW subscribers AS SELECT customer_id FROM customers WHERE wants_mail;
CREATE VIEW in_stock AS SELECT product_id FROM products WHERE stock > 0;

SELECT fm_write_top_x('mailing', 30, 'shop', users => 'subscribers', items => 'in_stock') AS rows_written;

CREATE VIEW mails AS
SELECT customer_id, row_number() OVER (PARTITION BY customer_id ORDER BY rank) AS place, product_id, category
FROM (SELECT m.user_id AS customer_id, m.rank, p.product_id, p.category,
             row_number() OVER (PARTITION BY m.user_id, p.category ORDER BY m.rank) AS of_category
      FROM mailing m JOIN products p ON p.product_id = m.item_id) AS numbered
WHERE of_category <= 2;

CREATE VIEW mail AS
SELECT customer_id, c.name AS customer, c.email, m.place, m.product_id, p.name AS product, p.category
FROM mails m JOIN customers c USING (customer_id) JOIN products p USING (product_id)
WHERE m.place <= 5;

SELECT email, place, product, category FROM mail
WHERE customer_id = (SELECT min(customer_id) FROM mail) ORDER BY place;

\echo '4. What most mails recommend sells out. The next rewrite takes it off every list.'
\echo

SELECT product_id AS gone, product AS sold_out, count(*) AS in_mails FROM mail
GROUP BY product_id, product ORDER BY count(*) DESC, product_id LIMIT 1
\gset
SELECT :'sold_out' AS sold_out, :in_mails AS in_mails;

UPDATE products SET stock = 0 WHERE product_id = :gone;
SELECT fm_write_top_x('mailing', 30, 'shop', users => 'subscribers', items => 'in_stock') AS rows_written;

SELECT count(*) AS in_mails FROM mail WHERE product_id = :gone;

\echo '5. A new customer buys two things and subscribes. The next mailing has their list, without another'
\echo '   training.'
\echo

INSERT INTO customers VALUES (1001, 'Zelda Quist', 'zelda.quist@example.com', true);
INSERT INTO purchases
SELECT 1001, product_id, 1, '2026-04-01' FROM products WHERE name IN ('Night bike light', 'Ultralight tent');
SELECT fm_write_top_x('mailing', 30, 'shop', users => 'subscribers', items => 'in_stock') AS rows_written;

SELECT email, place, product, category FROM mail WHERE customer_id = 1001 ORDER BY place;

\echo '6. The pages of products show others that the same customers buy, as far as they are in stock.'
\echo

SELECT fm_write_similar_items('related', 4, 'shop', items => 'in_stock') AS rows_written;

SELECT p.name AS page, r.rank, o.name AS related, o.category
FROM related r
JOIN products p ON p.product_id = r.item_id
JOIN products o ON o.product_id = r.similar_item_id
WHERE p.product_id IN (SELECT product_id FROM in_stock ORDER BY product_id LIMIT 2)
ORDER BY p.product_id, r.rank;

\echo '7. Every Monday at four: train again and rewrite both tables. This needs pg_cron; without it, any'
\echo '   scheduler can run CALL fm_refresh(''shop'').'
\echo

SELECT EXISTS (SELECT FROM pg_extension WHERE extname = 'pg_cron') AS cron \gset
\if :cron
SELECT fm_schedule('shop', '0 4 * * 1');
\else
CALL fm_refresh('shop');
\endif

SELECT target, kind, users, items, rows FROM fm_target ORDER BY target::text;

\echo '8. Of all mails: the share of products of a category that the customer was made to be interested in,'
\echo '   in percent, beside that of all products; how many are sold out; the most of one category in a mail.'
\echo

SELECT (SELECT count(DISTINCT customer_id) FROM mail) AS mails,
       (SELECT round(100 * avg((m.category = ANY (t.interests))::integer))
        FROM mail m JOIN planted t USING (customer_id)) AS of_interest,
       (SELECT round(100 * avg((p.category = ANY (t.interests))::integer)) FROM products p, planted t)
           AS of_all_products,
       (SELECT count(*) FROM mail JOIN products USING (product_id) WHERE stock = 0) AS sold_out,
       (SELECT max(n) FROM (SELECT count(*) AS n FROM mail GROUP BY customer_id, category) c)
           AS most_of_a_category;
