-- One round of similar.sql.
DROP TABLE IF EXISTS alike;
CHECKPOINT;
CALL timed('the lists of as many users, as rows', :run,
    format('SELECT count(*) FROM fm_top_x_all(%s, ''m'')', :x));
CHECKPOINT;
CALL timed('a new table of similar items', :run,
    format('SELECT fm_write_similar_items(''alike'', %s, ''m'')', :x));
SELECT equal_to_function(:x) \g /dev/null
VACUUM ANALYZE alike;
CHECKPOINT;
CALL timed('a rewrite of nothing', :run, format('SELECT fm_write_similar_items(''alike'', %s, ''m'')', :x));
-- The version is made to look new, so nothing is known to be right.
UPDATE fm_target_proof SET made_from = '';
CALL timed('a rewrite that computes all lists', :run,
    format('SELECT fm_write_similar_items(''alike'', %s, ''m'')', :x));
