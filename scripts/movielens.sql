-- Load MovieLens 100k: psql -v movielens=/path/to/ml-100k -f scripts/movielens.sql
--
-- Makes the tables ratings, films and users in the first schema of the search path. The server reads the
-- files, so this is for a server on the same machine and a role that may COPY from files.

\set ratings_file :movielens '/u.data'
\set films_file :movielens '/u.item'
\set users_file :movielens '/u.user'

CREATE TABLE ratings (
    user_id integer,
    item_id integer,
    rating real NOT NULL,
    rated_at timestamptz NOT NULL,
    PRIMARY KEY (user_id, item_id)
);

CREATE TEMPORARY TABLE u_data (user_id integer, item_id integer, rating real, seconds bigint);
COPY u_data FROM :'ratings_file';
INSERT INTO ratings SELECT user_id, item_id, rating, to_timestamp(seconds) FROM u_data;
DROP TABLE u_data;

CREATE TABLE films (item_id integer PRIMARY KEY, title text NOT NULL, released date, genres text[] NOT NULL);

CREATE TEMPORARY TABLE u_item (
    item_id integer, title text, released text, video_released text, url text,
    unknown bool, action bool, adventure bool, animation bool, children bool, comedy bool, crime bool,
    documentary bool, drama bool, fantasy bool, noir bool, horror bool, musical bool, mystery bool,
    romance bool, science_fiction bool, thriller bool, war bool, western bool
);
COPY u_item FROM :'films_file' (FORMAT csv, DELIMITER '|', QUOTE E'\b', ENCODING 'LATIN1');
INSERT INTO films
SELECT item_id, title, to_date(released, 'DD-Mon-YYYY'),
       ARRAY(SELECT key FROM jsonb_each(to_jsonb(u_item)) WHERE value = 'true' ORDER BY key)
FROM u_item;
DROP TABLE u_item;

CREATE TABLE users (
    user_id integer PRIMARY KEY, age real NOT NULL, gender text NOT NULL, occupation text NOT NULL,
    zip_code text NOT NULL
);
COPY users FROM :'users_file' (FORMAT csv, DELIMITER '|');

ANALYZE ratings, films, users;
