# A table of lists rewritten from the same version: which lists are known to be right, and that they are.
use strict;
use warnings;
use Test::More;
use FindBin;
use lib $FindBin::Bin;
use NeedCluster 'BackgroundPsql';

my $node = PostgreSQL::Test::Cluster->new('rewrites');
$node->init;
$node->append_conf(
	'postgresql.conf', q{
fsync = off
autovacuum = off
max_prepared_transactions = 2
min_parallel_table_scan_size = 0
});
$node->start;

# 100 users, 60 items; every list is complete.
$node->safe_psql(
	'postgres', q{
CREATE EXTENSION fmtopx;
CREATE TABLE ratings AS
SELECT u AS user_id, i AS item_id, (3 + sin(u) + cos(i) + sin(u * 0.7) * cos(i * 1.3))::real AS rating, 0 AS other
FROM generate_series(1, 100) u, generate_series(1, 60) i WHERE hashint8extended(u * 1000 + i, 1) % 3 = 0;
CREATE INDEX ON ratings (user_id);
SELECT fm_train('m', 'ratings', num_factors => 4, iterations => 10);
});

# Rewrite in a session that runs `before` first, check that all lists are right, and return how many were
# known to be.
sub rewrite
{
	my ($before, $target, @options) = @_;
	my $call = join(', ', "'$target'", '10', "'m'", @options);
	my ($status, $out, $error) = $node->psql('postgres', "$before;\nSET client_min_messages = debug1;\nSELECT fm_write_top_x($call) \\g /dev/null",
		on_error_stop => 1);
	is($status, 0, 'no error') or diag($error);
	my $lists = join(', ', '10', "'m'", @options);
	is($node->safe_psql('postgres', "SELECT count(*) FROM (SELECT user_id::text, rank, item_id::text, score, rating FROM $target
		EXCEPT ALL SELECT * FROM fm_top_x_all($lists)) d"), '0', 'no row is wrong');
	is($node->safe_psql('postgres', "SELECT count(*) = (SELECT count(*) FROM fm_top_x_all($lists)) FROM $target"), 't', 'no row is missing');
	return $error =~ /(\d+) lists of table \S+ are known to be right/ ? $1 : -1;
}

sub stands
{
	my ($what, $before, $expected) = @_;
	is(rewrite($before, 'lists'), $expected, $what);
}

$node->safe_psql('postgres', q{SELECT fm_write_top_x('lists', 10, 'm')});
stands('nothing has happened', 'SELECT 1', 100);
stands('nor since', 'SELECT 1', 100);

# Ratings.
stands('two people have rated', q{INSERT INTO ratings SELECT user_id, item_id, 5 FROM lists WHERE rank = 3 AND user_id IN (7, 70)}, 98);
stands('which is known from now on', 'SELECT 1', 100);
stands('a row is as good as deleted and inserted', q{UPDATE ratings SET item_id = item_id % 60 + 1 WHERE user_id = 8}, 0);
stands('known', 'SELECT 1', 100);
stands('a row is deleted and another inserted', q{DELETE FROM ratings WHERE ctid IN (SELECT min(ctid) FROM ratings WHERE user_id = 9);
	INSERT INTO ratings SELECT 10, item_id, 1 FROM lists WHERE user_id = 10 AND rank = 1}, 0);
stands('known again', 'VACUUM ratings', 100);
stands('a row is deleted and vacuumed', q{DELETE FROM ratings WHERE ctid IN (SELECT min(ctid) FROM ratings WHERE user_id = 11);
	VACUUM ratings}, 0);
stands('a rollback is nothing', q{BEGIN; DELETE FROM ratings; ROLLBACK;
	BEGIN; INSERT INTO ratings SELECT user_id, item_id, 5 FROM lists WHERE rank = 1; ROLLBACK}, 100);
stands('a subtransaction counts', q{BEGIN; SAVEPOINT a; INSERT INTO ratings SELECT user_id, item_id, 5 FROM lists WHERE rank = 2 AND user_id = 12;
	RELEASE a; SAVEPOINT b; DELETE FROM ratings; ROLLBACK TO b; COMMIT}, 99);
stands('a row without an item is nothing, one of a stranger neither', q{INSERT INTO ratings VALUES (13, NULL, 1), (1000, 1, 1)}, 100);
stands('frozen rows are as old as they are', 'VACUUM (FREEZE) ratings, lists', 100);
stands('new ones, too, even frozen', q{INSERT INTO ratings SELECT user_id, item_id, 5 FROM lists WHERE rank = 1 AND user_id = 14;
	VACUUM (FREEZE) ratings}, 99);
stands('a table packed', 'VACUUM FULL ratings, lists', 100);
stands('a column added', 'ALTER TABLE ratings ADD COLUMN more integer DEFAULT 5', 100);
stands('rows that are now in two tables, or none', q{CREATE TABLE copies AS TABLE ratings; TRUNCATE ratings; INSERT INTO ratings TABLE copies}, 0);
stands('known once more', 'SELECT 1', 100);
stands('columns have changed places without a row', q{UPDATE ratings SET other = item_id}, 0);
stands('known as before', 'SELECT 1', 100);
stands('here', q{ALTER TABLE ratings RENAME item_id TO old_item; ALTER TABLE ratings RENAME other TO item_id}, 0);
stands('known by the other column', 'SELECT 1', 100);

# Changes to the table itself.
stands('rows that others have written', q{UPDATE lists SET score = score + 1 WHERE user_id = 20 AND rank = 4; DELETE FROM lists WHERE user_id = 21 AND rank = 10;
	INSERT INTO lists VALUES (22, 11, 1, 1), (1000, 1, 1, 1); DELETE FROM lists WHERE user_id = 23}, 97);
stands('put right', 'SELECT 1', 100);
stands('rows written by the transaction of the rewrite itself', q{BEGIN; UPDATE lists SET score = 0 WHERE user_id = 24;
	SELECT fm_write_top_x('lists', 10, 'm'); UPDATE lists SET score = 0 WHERE user_id IN (24, 25); COMMIT}, 98);
stands('or after a rewrite that was rolled back', q{BEGIN; SELECT fm_write_top_x('lists', 5, 'm'); ROLLBACK}, 100);
$node->safe_psql('postgres', q{ALTER TABLE lists DROP CONSTRAINT lists_pkey;
	INSERT INTO lists SELECT user_id, rank, item_id % 60 + 1, score FROM lists WHERE user_id = 26 AND rank = 5;
	SELECT fm_write_top_x('lists', 10, 'm')});
is($node->safe_psql('postgres', q{SELECT count(*), count(DISTINCT item_id) FROM lists WHERE user_id = 26 AND rank = 5}), '1|1',
	'where a key is missing, a second row with the same user and rank goes');
stands('as long as there is one', q{DELETE FROM lists WHERE user_id = 26 AND rank = 5; ALTER TABLE lists ADD PRIMARY KEY (user_id, rank)}, 99);
stands('a trigger may change what is written', q{CREATE FUNCTION nothing() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN new; END';
	CREATE TRIGGER nothing BEFORE UPDATE ON lists FOR EACH ROW EXECUTE FUNCTION nothing()}, 0);
stands('always', 'SELECT 1', 0);
stands('as long as it is there', 'DROP TRIGGER nothing ON lists', 0);
stands('known without', 'SELECT 1', 100);

# Other rules, other versions.
is(rewrite('SELECT 1', 'lists', 'exclude_seen => false'), 0, 'lists written without exclude_seen');
is(rewrite(q{INSERT INTO ratings SELECT user_id, 1, 5, item_id FROM lists WHERE rank = 1}, 'lists', 'exclude_seen => false'), 100, 'lists without exclude_seen do not depend on ratings');
stands('others', 'SELECT 1', 0);
stands('which are known', 'SELECT 1', 100);
stands('of another version', q{DELETE FROM ratings WHERE user_id = 1000; SELECT fm_train('m', seed => 5)}, 0);
stands('too', 'SELECT 1', 100);
stands('of one that was there before', q{SELECT fm_activate('m', 1)}, 0);
stands('of a model of the same name', q{SELECT fm_drop('m'); SELECT fm_train('m', 'ratings', num_factors => 4, iterations => 9);
	SELECT fm_write_top_x('lists', 10, 'm')}, 100);
stands('of refreshes', q{CALL fm_refresh('m')}, 100);
stands('without workers nobody knows', 'SET max_parallel_maintenance_workers = 0', 0);
stands('nor next time', 'SELECT 1', 0);
stands('but then', 'SELECT 1', 100);

# Transactions that are running while lists are written: their changes are noticed when they have ended.
my $other = $node->background_psql('postgres', on_error_stop => 1);
$other->query_safe(q{BEGIN; INSERT INTO ratings SELECT user_id, 0, 5, item_id FROM lists WHERE user_id = 30 AND rank = 1});
stands('somebody is rating', 'SELECT 1', 100);
$other->query_safe(q{SAVEPOINT a; INSERT INTO ratings SELECT user_id, 0, 5, item_id FROM lists WHERE user_id = 31 AND rank = 1;
	DELETE FROM ratings WHERE user_id = 32; RELEASE a});
$node->safe_psql('postgres', q{INSERT INTO ratings SELECT user_id, 0, 5, item_id FROM lists WHERE user_id = 33 AND rank = 1});
is(rewrite('SELECT 1', 'lists'), 99, 'another user has rated while that transaction is running');
$other->query_safe('COMMIT');
stands('has rated, and deleted', 'SELECT 1', 0);
cmp_ok(rewrite('SELECT 1', 'lists'), '>=', 97, 'it is known afterwards');
$other->query_safe(q{BEGIN; INSERT INTO ratings SELECT user_id, 0, 5, item_id FROM lists WHERE user_id = 36 AND rank = 1;
	DELETE FROM ratings WHERE ctid IN (SELECT min(ctid) FROM ratings WHERE user_id = 37)});
$node->safe_psql('postgres', 'SELECT pg_current_xact_id()'); # a later transaction ends earlier
cmp_ok(rewrite('SELECT 1', 'lists'), '>=', 97, 'a user adds a rating and deletes one');
$other->query_safe('COMMIT');
stands('which are as many', 'SELECT 1', 0);
cmp_ok(rewrite('SELECT 1', 'lists'), '>=', 97, 'it is known in the end');
$other->query_safe(q{BEGIN; INSERT INTO lists VALUES (1001, 1, 1, 1); UPDATE lists SET score = 7 WHERE user_id = 34 AND rank = 1});
$other->query_safe(q{PREPARE TRANSACTION 'other'});
$node->safe_psql('postgres', q{SELECT count(*) FROM lists; COMMIT PREPARED 'other'});
stands('somebody has written to the table', 'SELECT 1', 99);
$other->query_safe(q{BEGIN ISOLATION LEVEL REPEATABLE READ; SELECT count(*) FROM ratings});
$node->safe_psql('postgres', q{INSERT INTO ratings SELECT user_id, 0, 5, item_id FROM lists WHERE user_id = 35 AND rank = 1});
$other->query_safe(q{SELECT fm_write_top_x('lists', 10, 'm') \g /dev/null});
$other->query_safe('COMMIT');
stands('written by an older snapshot', 'SELECT 1', 99);

# Ratings that were too recent to be counted, and are then deleted without a trace.
stands('rated, written and taken back in one transaction', q{BEGIN; INSERT INTO ratings SELECT user_id, 0, 5, item_id FROM lists WHERE user_id = 38 AND rank = 1;
	SELECT fm_write_top_x('lists', 10, 'm'); DELETE FROM ratings WHERE ctid = (SELECT max(ctid) FROM ratings WHERE user_id = 38); COMMIT}, 99);
$other->query_safe(q{BEGIN; SELECT pg_current_xact_id()});
$node->safe_psql('postgres', q{INSERT INTO ratings SELECT user_id, 0, 5, item_id FROM lists WHERE user_id = 39 AND rank = 1});
cmp_ok(rewrite('SELECT 1', 'lists'), '>=', 98, 'a rating while another transaction is running');
$other->query_safe('COMMIT');
stands('and taken back', q{DELETE FROM ratings WHERE ctid = (SELECT max(ctid) FROM ratings WHERE user_id = 39)}, 99);
stands('which is known, too', 'SELECT 1', 100);
$node->safe_psql('postgres', q{CREATE TABLE more AS SELECT g AS user_id, i AS item_id, (g % 3 + i)::real AS rating FROM generate_series(1, 20000) g, generate_series(1, 2) i;
	SELECT fm_train('many', 'more', num_factors => 1, iterations => 1)});
$node->safe_psql('postgres', q{BEGIN; UPDATE more SET item_id = 2 WHERE user_id <= 16385; SELECT fm_write_top_x('many_lists', 1, 'many'); DELETE FROM more WHERE user_id = 1; COMMIT});
$node->safe_psql('postgres', q{SELECT fm_write_top_x('many_lists', 1, 'many')});
is($node->safe_psql('postgres', q{SELECT count(*) FROM (SELECT user_id::text, rank, item_id::text, score, rating FROM many_lists EXCEPT SELECT * FROM fm_top_x_all(1, 'many')) d}),
	'0', 'of too many people');

# A rewrite with a snapshot that is older than the last rewrite.
my $waiting = $node->background_psql('postgres', on_error_stop => 1);
$other->query_safe(q{BEGIN; LOCK TABLE lists IN SHARE UPDATE EXCLUSIVE MODE});
$waiting->query_until(qr/begun/, q{SET client_min_messages = debug1;
\echo begun
SELECT fm_write_top_x('lists', 10, 'm') \g /dev/null
});
$node->poll_query_until('postgres', q{SELECT count(*) > 0 FROM pg_locks WHERE relation = 'lists'::regclass AND NOT granted});
$node->safe_psql('postgres', q{INSERT INTO ratings SELECT user_id, 0, 5, item_id FROM lists WHERE user_id = 40 AND rank = 1});
$node->safe_psql('postgres', q{DELETE FROM ratings WHERE ctid = (SELECT min(ctid) FROM ratings WHERE user_id = 41)});
$other->query_safe(q{SELECT fm_write_top_x('lists', 10, 'm') \g /dev/null});
$other->query_safe('COMMIT');
$waiting->query('SELECT 1');
like($waiting->{stderr}, qr/ 0 lists of table/, 'a rewrite that waited, with its old snapshot');
$waiting->quit;
cmp_ok(rewrite('SELECT 1', 'lists'), '>=', 0, 'a rewrite after it');
stands('known after both', 'SELECT 1', 100);
$other->quit;

# Changes to the model's user table.
stands('a vector changed', q{UPDATE fm_m_user SET w = w + 1 WHERE user_id = 42}, 99);
stands('is not known before the table is written again', 'SELECT 1', 100);

# A table whose owner may not read the notes about it.
$node->safe_psql('postgres', q{CREATE ROLE analyst; GRANT CREATE ON SCHEMA public TO analyst; SELECT fm_grant('m', 'analyst'); GRANT SELECT ON ratings TO analyst});
is(rewrite(q{SET ROLE analyst; SELECT fm_write_top_x('mine', 10, 'm')}, 'mine'), 100, q{a reader's table});
$node->safe_psql('postgres', q{CREATE ROLE modeller; GRANT CREATE ON SCHEMA public TO modeller; GRANT SELECT ON ratings TO modeller;
	SET ROLE modeller; SELECT fm_train('theirs', 'ratings', num_factors => 4, iterations => 5); SELECT fm_grant('theirs', 'analyst')});
is($node->psql('postgres', q{SET ROLE analyst; SELECT fm_write_top_x('his', 10, 'theirs'); SET client_min_messages = debug1;
	SELECT fm_write_top_x('his', 10, 'theirs')}, stderr => \my $error), 0, q{a reader's table of another's model});
like($error, qr/99 lists of table public.his are known/, 'a reader does not get what is noted for another');
isnt($node->psql('postgres', 'SET ROLE analyst; TABLE fm_target_proof'), 0, 'a reader cannot read fm_target_proof');

# Random changes, each followed by a rewrite.
for my $seed (1 .. 30)
{
	my $some = "abs(hashint8extended(user_id * 100 + item_id, $seed)) %";
	my @changes = (
		"INSERT INTO ratings SELECT user_id, 0, 5, item_id FROM lists WHERE $some 97 = 0",
		"DELETE FROM ratings WHERE $some 301 = 0",
		"UPDATE ratings SET item_id = item_id % 60 + 1 WHERE $some 397 = 0",
		"UPDATE ratings SET rating = rating WHERE $some 31 = 0",
		"UPDATE lists SET score = score - 1 WHERE $some 101 = 0",
		"DELETE FROM lists WHERE $some 103 = 0",
		"BEGIN; DELETE FROM ratings WHERE $some 7 = 0; ROLLBACK",
		'VACUUM ratings', 'VACUUM (FREEZE) lists', 'SELECT 1');
	my $change = join(";\n", map { $changes[ ($seed * 7 + $_ * $seed * $seed * 3) % @changes ] } 1 .. 1 + $seed % 3);
	cmp_ok(rewrite($change, 'lists'), '>=', 0, "seed $seed");
}
cmp_ok(rewrite('DELETE FROM fm_m_user WHERE idx = (SELECT max(idx) FROM fm_m_user)', 'lists'), '>=', 0, 'a deleted user has no rows');

$node->stop;
done_testing();
