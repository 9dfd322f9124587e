-- One round of batch.sql.
DROP TABLE IF EXISTS inserted, lists;
CHECKPOINT;
CREATE TABLE inserted (user_id integer NOT NULL, rank integer NOT NULL, item_id integer NOT NULL,
    score real NOT NULL, rating real, PRIMARY KEY (user_id, rank));
CALL timed('INSERT … SELECT of the same rows', :run, 'INSERT INTO inserted TABLE ready');
CHECKPOINT;
CALL timed('a new table', :run, format('SELECT fm_write_top_x(''lists'', %s, ''m'')', :x));
SELECT equal_to_function('lists', :x) \g /dev/null
CREATE TABLE before AS SELECT ctid AS at, user_id, rank FROM lists;
VACUUM ANALYZE lists;
-- Each of these users now has seen the tenth item of their list (the last of a shorter list), and all items
-- below it move up.
INSERT INTO ratings SELECT user_id, item_id, 3 FROM lists
WHERE rank = least(10, :x) AND user_id % 100 < least(2, :x);
CHECKPOINT;
CALL timed('a rewrite', :run, format('SELECT fm_write_top_x(''lists'', %s, ''m'')', :x));
SELECT round(100.0 * count(*) FILTER (WHERE before.at IS NULL) / count(*), 2) AS percent_changed
FROM lists LEFT JOIN before ON before.at = lists.ctid \gset
\echo round :run: :percent_changed % of the rows changed
SELECT equal_to_function('lists', :x) \g /dev/null
CALL timed('a rewrite of nothing', :run, format('SELECT fm_write_top_x(''lists'', %s, ''m'')', :x));
DROP TABLE before;
CALL timed('all lists as rows', :run, format('SELECT count(*) FROM fm_top_x_all(%s, ''m'')', :x));
CALL timed('metrics of all users', :run,
    format('SELECT count(*) FROM fm_evaluate(''asked'', ''m'', %s)', :x));
-- The same lists without reading the ratings: what that takes is the difference.
DROP TABLE IF EXISTS unfiltered;
SELECT fm_write_top_x('unfiltered', :x, 'm', exclude_seen => false) \g /dev/null
VACUUM ANALYZE unfiltered;
CHECKPOINT;
CALL timed('a rewrite of nothing, with seen items', :run,
    format('SELECT fm_write_top_x(''unfiltered'', %s, ''m'', exclude_seen => false)', :x));
