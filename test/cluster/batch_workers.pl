# Lists for all users, computed by several processes: the same as by one process, for every kind of ratings
# relation, with little memory and with few workers. An interrupt leaves nothing half done.
use strict;
use warnings;
use Test::More;
use FindBin;
use lib $FindBin::Bin;
use NeedCluster;

my $node = PostgreSQL::Test::Cluster->new('batch_workers');
$node->init;
# The server's log shows when a worker starts.
$node->append_conf('postgresql.conf', "fsync = off\nautovacuum = off\nlog_min_messages = debug1\n");
$node->start;
$node->safe_psql(
	'postgres', q{
CREATE EXTENSION fmtopx;
CREATE ROLE owner LOGIN;
CREATE ROLE other LOGIN;
CREATE SCHEMA shop AUTHORIZATION owner;
ALTER ROLE ALL SET search_path = shop, public;
});

my $workers = 'SET min_parallel_table_scan_size = 0; SET max_parallel_maintenance_workers = 3;';
my $alone = 'SET max_parallel_maintenance_workers = 0;';

sub as
{
	my ($role, $sql) = @_;
	my ($status, $out, $err) = $node->psql('postgres', $sql, extra_params => [ '-U', $role ]);
	return $status == 0 ? $out : $err;
}

# Return how many workers a piece of code has started.
sub started
{
	my ($code) = @_;
	my $at = -s $node->logfile;
	$code->();
	return scalar(() = substr(PostgreSQL::Test::Utils::slurp_file($node->logfile), $at) =~
		  /starting background worker process "parallel worker/g);
}

# Compute a model's lists in both ways, in a transaction that may begin with other statements.
sub differences
{
	my ($model, $before, $settings, $arguments) = @_;
	my $lists = "fm_top_x_all(7, '$model'" . ($arguments // '') . ")";
	return as('owner', qq{
BEGIN; $before; $settings
CREATE TEMP TABLE by_team ON COMMIT DROP AS SELECT * FROM $lists;
$alone
CREATE TEMP TABLE by_one ON COMMIT DROP AS SELECT * FROM $lists;
SELECT count(*) FROM by_team WHERE rank = 1;
SELECT count(*) FROM (TABLE by_team EXCEPT ALL TABLE by_one) d;
SELECT count(*) FROM (TABLE by_one EXCEPT ALL TABLE by_team) d;
COMMIT;
}) =~ s/\n/ /gr;
}

# Ids without gaps, with wide gaps, and text. A view, a partitioned table, a parent with children, a table
# with a policy, and one whose first column was dropped.
is(as('owner', q{
CREATE TABLE dense AS
SELECT u::smallint AS user_id, i::bigint AS item_id, (1 + hashint8extended(u * 1000 + i, 2) & 3)::real AS rating
FROM generate_series(1, 3000) u, generate_series(1, 70) i WHERE hashint8extended(u * 1000 + i, 1) % 5 = 0 OR i = 1;
CREATE TABLE sparse (gone text, rating real, item_id int, user_id bigint);
ALTER TABLE sparse DROP gone;
INSERT INTO sparse SELECT rating, item_id * -7777777, (user_id - 300) * 10000000000 FROM dense;
CREATE TABLE words AS SELECT 'user ' || user_id AS user_id, 'item ' || item_id AS item_id, rating FROM dense;
CREATE VIEW seen AS TABLE dense;
CREATE MATERIALIZED VIEW kept AS TABLE dense;
CREATE TABLE parts (LIKE dense) PARTITION BY HASH (user_id);
CREATE TABLE part0 PARTITION OF parts FOR VALUES WITH (modulus 2, remainder 0);
CREATE TABLE part1 PARTITION OF parts FOR VALUES WITH (modulus 2, remainder 1);
INSERT INTO parts TABLE dense;
CREATE TABLE parent AS TABLE dense;
CREATE TABLE child () INHERITS (parent);
INSERT INTO child SELECT user_id, item_id, rating FROM dense WHERE user_id <= 1500;
DELETE FROM ONLY parent WHERE user_id <= 1500;
CREATE TABLE policed AS TABLE dense;
ALTER TABLE policed ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY shown ON policed USING (rating < 3);
SELECT count(*) FILTER (WHERE status = 'succeeded')
FROM unnest('{dense,sparse,words,seen,kept,parts,parent,policed}'::text[]) n (m),
    fm_train(m, m::regclass, num_factors => 5, iterations => 3);
}), '8', 'trained');
for my $model (qw(dense sparse words seen kept parts parent policed))
{
	my $found;
	ok(started(sub { $found = differences($model, '', $workers) }) > 0, "$model: there are workers");
	is($found, '3000 0 0', 'workers find what one process finds');
	is(differences($model, '', $workers, ', false'), '3000 0 0', 'workers find the same with seen items');
}

# Changes by the transaction itself count. NULLs, unknown ids and duplicate rows.
my $changes = q{
INSERT INTO dense VALUES (30000, 1, 3), (1, 100000, 3), (NULL, 1, 3), (2, NULL, 3), (3, 1, 3), (3, 1, 4);
INSERT INTO dense SELECT 5, item_id, 2 FROM fm_top_x(5, 7, 'dense');
DELETE FROM dense WHERE user_id = 6;
};
is(differences('dense', $changes, $workers), '3000 0 0', 'ratings of the same transaction');
is($node->safe_psql('postgres', "$workers SELECT count(*) > 100 FROM shop.policed p JOIN fm_top_x_all(7, 'policed') t
	ON t.user_id = p.user_id::text AND t.item_id = p.item_id::text WHERE p.rating = 3"), 't', 'rows hidden by a policy do not count as seen');
isnt(as('owner', "BEGIN; $changes $workers SELECT string_agg(item_id, ' ' ORDER BY rank) FROM fm_top_x_all(7, 'dense')
	WHERE user_id = '5'; ROLLBACK"), as('owner', "SELECT string_agg(item_id, ' ' ORDER BY rank) FROM
	fm_top_x_all(7, 'dense') WHERE user_id = '5'"), 'seen items make a difference');

# Some users, some of them new; some items.
$node->safe_psql('postgres', q{
CREATE VIEW shop.some_users AS SELECT user_id::int FROM shop.dense WHERE user_id % 3 = 1 UNION SELECT 30001;
CREATE VIEW shop.some_words AS SELECT user_id FROM shop.words WHERE user_id LIKE '%1' UNION SELECT 'user x';
CREATE VIEW shop.some_items AS SELECT i AS item_id FROM generate_series(1, 40) i;
GRANT SELECT ON shop.some_users, shop.some_words, shop.some_items TO owner;
});
for my $memory ('', "SET maintenance_work_mem = '1MB'; ")
{
	is(differences('dense', '', $memory . $workers, ", users => 'some_users', items => 'some_items'"), '1001 0 0', 'some of both');
	is(differences('words', '', $memory . $workers, ", users => 'some_words'"), '301 0 0', 'some by words');
}

# Too little memory for the pairs, no free worker, and nothing to do in parallel.
for my $model (qw(dense words))
{
	is(differences($model, '', "SET maintenance_work_mem = '1MB'; $workers"), '3000 0 0', "$model: little memory");
	is(differences($model, '', "SET max_parallel_workers = 0; $workers"), '3000 0 0', 'no worker');
	is(started(sub { differences($model, '', 'SET max_parallel_maintenance_workers = 2') }), 0,
		'none is asked for where there is little to do');
}
is(as('owner', "$workers SELECT count(*) FROM fm_top_x_all(0, 'dense')"), '0', 'lists of length 0');
is(as('owner', "$workers SELECT count(*) FROM fm_top_x_all(1000, 'dense', false)"), 3000 * 70, 'lists of all items');
is(as('owner', "$workers SELECT string_agg(DISTINCT user_id, ',') FROM fm_top_x_all(1, 'words') WHERE user_id LIKE '%99'
	AND length(user_id) = 8"),
	join(',', map { "user $_" } sort map { "${_}99" } 1 .. 9), 'ids by reference');

# The model's owner may read only two columns of another role's table, or nothing.
$node->safe_psql('postgres', q{
CREATE TABLE shop.lent AS TABLE shop.dense;
GRANT SELECT ON shop.lent TO owner;
});
like(as('owner', "SELECT status FROM fm_train('lent', 'lent', num_factors => 5, iterations => 3)"), qr/succeeded/, 'lent');
$node->safe_psql('postgres', q{
REVOKE ALL ON shop.lent FROM owner;
GRANT SELECT (user_id, item_id) ON shop.lent TO owner;
});
is(differences('lent', '', $workers), '3000 0 0', 'privileges on columns');
$node->safe_psql('postgres', q{REVOKE ALL (user_id, item_id) ON shop.lent FROM owner});
like(as('owner', "$workers SELECT count(*) FROM fm_top_x_all(7, 'lent')"), qr/permission denied for table lent/,
	'no rights');

# A table written and rewritten by workers, after changes to the ratings and to the table.
my $wrong = q{SELECT count(*) FROM (SELECT user_id::text, rank, item_id::text, score, rating FROM lists
	EXCEPT ALL SELECT * FROM fm_top_x_all(7, 'dense')) d};
ok(started(sub { is(as('owner', "$workers SELECT fm_write_top_x('lists', 7, 'dense')"), '21000', 'a new table') }) > 0,
	'by workers');
is(as('owner', "$alone $wrong"), '0', 'is right');
is(as('owner', q{
INSERT INTO dense SELECT user_id, item_id, 3 FROM lists WHERE user_id % 50 = 0 AND rank IN (2, 7);
DELETE FROM dense WHERE user_id % 50 = 1;
UPDATE lists SET score = 0 WHERE user_id % 50 = 2;
UPDATE lists SET item_id = -1 WHERE user_id % 50 = 3 AND rank = 1;
UPDATE lists l SET item_id = (SELECT item_id FROM lists f WHERE f.user_id = l.user_id AND rank = 1) WHERE user_id % 50 = 4;
UPDATE lists SET score = 'NaN' WHERE user_id % 50 = 5;
DELETE FROM lists WHERE user_id % 50 = 6 AND rank > 3;
UPDATE lists SET user_id = -user_id WHERE user_id % 50 = 7;
UPDATE lists SET rank = rank + 100 WHERE user_id % 50 = 8;
CREATE TABLE untouched AS SELECT l.ctid AS at, l.* FROM lists l JOIN fm_top_x_all(7, 'dense') w
	ON w.user_id = l.user_id::text AND w.rank = l.rank AND w.item_id = l.item_id::text AND w.score = l.score;
SELECT count(*) BETWEEN 17000 AND 18500 FROM untouched;
}), 't', 'changes of every kind');
ok(started(sub { is(as('owner', "$workers SELECT fm_write_top_x('lists', 7, 'dense')"), '21000', 'a rewrite') }) > 0,
	'by workers');
is(as('owner', "$alone $wrong"), '0', 'is right');
is(as('owner', 'SELECT count(*) FROM untouched u LEFT JOIN lists l ON l.ctid = u.at AND l.user_id = u.user_id
	AND l.rank = u.rank WHERE l.rank IS NULL'), '0', 'a rewrite touches nothing else');
is(as('owner', "$workers SELECT fm_write_top_x('lists', 9, 'dense')"), '27000', 'longer lists');
is(as('owner', "$workers SELECT fm_write_top_x('lists', 7, 'dense')"), '21000', 'shorter lists again');
is(as('owner', "$alone $wrong"), '0', 'the shorter lists are right');

# Tables with other row layouts: other columns before and between, of any width or dropped; rows older than
# a column; NULLs; with and without keys.
is(as('owner', qq{
CREATE TABLE odd (note text, score real, gone bigint, item_id bigint, rank int, user_id smallint);
$workers SELECT fm_write_top_x('odd', 7, 'dense');
UPDATE odd SET note = repeat('x', user_id % 300) WHERE user_id % 3 = 0;
ALTER TABLE odd DROP COLUMN gone;
ALTER TABLE odd ADD COLUMN late int DEFAULT 5;
UPDATE odd SET score = NULL WHERE user_id % 50 = 1;
UPDATE odd SET item_id = NULL, note = NULL WHERE user_id % 50 = 2;
INSERT INTO odd (user_id, rank, item_id, score) SELECT user_id, rank, item_id, score FROM odd WHERE user_id % 50 = 3;
INSERT INTO odd (user_id, rank, item_id, score) VALUES (NULL, 1, 1, 1), (5, NULL, 1, 1), (-5, 1, 1, 1);
CREATE TABLE odd_before AS SELECT ctid AS at, * FROM odd;
$workers SELECT fm_write_top_x('odd', 7, 'dense');
SELECT count(*) FROM (SELECT user_id::text, rank, item_id::text, score FROM odd
	EXCEPT SELECT user_id, rank, item_id, score FROM fm_top_x_all(7, 'dense')) d;
SELECT count(*) FROM (SELECT user_id, rank, item_id, score FROM fm_top_x_all(7, 'dense')
	EXCEPT SELECT user_id::text, rank, item_id::text, score FROM odd) d;
SELECT count(*) FROM odd_before b JOIN odd o ON o.ctid = b.at AND o.user_id = b.user_id AND o.rank = b.rank
	WHERE b.score IS NOT NULL AND b.item_id IS NOT NULL AND o.user_id % 50 <> 3;
}), "21000\n21000\n0\n0\n" . 21000 * 47 / 50, 'a table of another layout, whose right rows are not touched');
is(as('owner', q{
CREATE TABLE wide (note text, gone int, item_id smallint, at timestamptz, user_id bigint, rating real);
INSERT INTO wide SELECT CASE WHEN user_id % 2 = 0 THEN 'note' END, 1, item_id, now(), user_id, rating FROM dense;
ALTER TABLE wide DROP COLUMN gone;
INSERT INTO wide VALUES (NULL, NULL, now(), 1, 1), (NULL, 1, now(), NULL, 1);
CREATE TABLE narrow AS SELECT 1 AS first, user_id::bigint, rating FROM dense WHERE item_id = 1;
ALTER TABLE narrow DROP COLUMN first;
ALTER TABLE narrow ADD COLUMN item_id smallint DEFAULT 1;
INSERT INTO narrow SELECT user_id, rating, item_id FROM dense WHERE item_id > 1;
INSERT INTO narrow VALUES (NULL, 1, 1), (1, 1, NULL);
SELECT min(status) FROM (VALUES ('wide'), ('narrow')) n (m), fm_train(m, m::regclass, num_factors => 4, iterations => 2);
}), 'succeeded', 'ratings of other layouts');
is(differences($_, "", $workers), "2940 0 0", "$_: as one process") for 'wide', 'narrow';

# Interrupted at any time: nothing is left behind, and the next call works.
my $interrupted = 0;
for my $ms (1 .. 40)
{
	my $result = as('owner', "DELETE FROM lists WHERE user_id % 2 = 0; $workers SET statement_timeout = $ms;
		SELECT fm_write_top_x('lists', 7, 'dense')");
	$interrupted++ if $result =~ /canceling statement due to statement timeout/;
}
ok($interrupted > 0, "$interrupted of 40 calls were interrupted");
is(as('owner', "SELECT fm_write_top_x('lists', 7, 'dense')"), '21000', 'the next call is not interrupted');
is(as('owner', "$alone $wrong"), '0', 'the next call is right');
is($node->safe_psql('postgres', q{SELECT count(*) FROM pg_stat_activity WHERE backend_type = 'parallel worker'}), '0',
	'no worker is left');

# Similar items of all items: as one process, also in rounds of a few thousand lists, and interrupted.
is(as('owner', q{
CREATE TABLE goods AS
SELECT u AS user_id, i AS item_id, (1 + hashint8extended(u * 100003 + i, 2) & 3)::real AS rating
FROM generate_series(1, 5000) i, generate_series(1 + i % 7, 40, 7) u;
SELECT status FROM fm_train('goods', 'goods', num_factors => 8, iterations => 2);
}), 'succeeded', 'a model of 5,000 items');
is(as('owner', "$alone SELECT fm_write_similar_items('alike', 9, 'goods')"), '45000', 'similar items, by one process');
for my $memory ('64MB', '1MB')
{
	my $written;
	cmp_ok(started(sub { $written = as('owner', "$workers SET maintenance_work_mem = '$memory';
		SELECT fm_write_similar_items('\"alike_$memory\"', 9, 'goods')") }), '>=', 3, "by workers, with $memory");
	is($written, '45000', 'all lists');
	is(as('owner', qq{SELECT count(*) FROM (TABLE alike EXCEPT TABLE "alike_$memory") d}), '0', 'the same ones');
}
$interrupted = 0;
for my $ms (map { 3 * $_ } 1 .. 20)
{
	my $result = as('owner', "DELETE FROM alike WHERE item_id % 2 = 0; $workers SET statement_timeout = $ms;
		SELECT fm_write_similar_items('alike', 9, 'goods')");
	$interrupted++ if $result =~ /canceling statement due to statement timeout/;
}
ok($interrupted > 0, "$interrupted of 20 calls were interrupted");
is(as('owner', "$workers SELECT fm_write_similar_items('alike', 9, 'goods')"), '45000', 'the next call is not interrupted');
is(as('owner', 'SELECT count(*) FROM (TABLE alike EXCEPT TABLE "alike_64MB") d'), '0', 'and is right');
is($node->safe_psql('postgres', q{SELECT count(*) FROM pg_stat_activity WHERE backend_type = 'parallel worker'}), '0',
	'no worker is left');

# Altered user ids are an error, not a crash.
as('owner', 'UPDATE fm_sparse_user SET idx = idx + 1 WHERE idx = 2999');
like(as('owner', "$workers SELECT count(*) FROM fm_top_x_all(7, 'sparse')"), qr/version 1 of model "sparse" is damaged/,
	'damaged users');

$node->stop;
done_testing();
