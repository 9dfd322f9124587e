# Random histories of a table of lists that is written again and again from one version of a model: what happens to the
# ratings, the lists and the users between, in one session or several, whether it is committed, rolled back, vacuumed,
# frozen or left open. After each writing the table is compared with what plain SQL makes of fm_user_vectors and
# fm_item_vectors.
#
# Environment: HOSTILE_HISTORIES, how many (12); HOSTILE_SEED.
use strict;
use warnings;
use Test::More;
use FindBin;
use lib $FindBin::Bin, "$FindBin::Bin/../cluster";
use NeedCluster;
use Generator;
use Session;

my $count = $ENV{HOSTILE_HISTORIES} // 12;
my $seed = $ENV{HOSTILE_SEED} // 1;
my $generator = Generator->new($seed);
my $node = PostgreSQL::Test::Cluster->new('histories');
$node->init;
$node->append_conf('postgresql.conf', q{
fsync = off
autovacuum = off
restart_after_crash = off
log_statement = none
max_prepared_transactions = 4
min_parallel_table_scan_size = 0
max_parallel_maintenance_workers = 1
lock_timeout = 100ms
deadlock_timeout = 50ms
jit = off
});
$node->start;
$node->safe_psql('postgres', 'CREATE EXTENSION fmtopx');
my $hello = q{SET client_min_messages = debug1;};
my ($main, @others) = map { Session->new(connstr => $node->connstr('postgres'), hello => $hello) } 1 .. 3;

# A world anew: 40 users, 25 items.
sub begin
{
	$_->run('ROLLBACK') for $main, @others;
	$node->psql('postgres', "ROLLBACK PREPARED '$_'") for qw(one two);
	$node->safe_psql('postgres', q{
SET client_min_messages = error;
SELECT fm_drop(model) FROM fm_models;
DROP TABLE IF EXISTS ratings, lists CASCADE;
CREATE TABLE ratings AS
SELECT u AS user_id, i AS item_id, (3 + sin(u) + cos(i) + sin(u * 0.7) * cos(i * 1.3))::real AS rating, 0 AS spare
FROM generate_series(1, 40) u, generate_series(1, 25) i WHERE hashint8extended(u * 1000 + i, 1) % 3 = 0;
CREATE INDEX ON ratings (user_id);
SELECT fm_train('m', 'ratings', num_factors => 3, iterations => 5);
SELECT fm_train('m', seed => 7);
});
	$node->safe_psql('postgres', q{SELECT fm_write_top_x('lists', 5, 'm')});
	$node->safe_psql('postgres', q{ALTER TABLE lists DROP CONSTRAINT lists_pkey}) if $generator->chance(15);
	return;
}

sub user { return 1 + $generator->below(42) }
sub item { return 1 + $generator->below(25) }

# What can happen, as statements of one session.
my @changes = (
	sub { 'INSERT INTO ratings VALUES (' . user() . ', ' . item() . ', 3)' },
	sub { 'INSERT INTO ratings SELECT user_id, item_id, 5 FROM lists WHERE rank <= 2 AND user_id % 7 = ' . $generator->below(7) },
	sub { 'INSERT INTO ratings VALUES (' . $generator->one('NULL', user()) . ', NULL, 3), (NULL, ' . item() . ', 3)' },
	sub { 'DELETE FROM ratings WHERE user_id = ' . user() . ' AND item_id % 3 = ' . $generator->below(3) },
	sub { 'DELETE FROM ratings WHERE ctid IN (SELECT min(ctid) FROM ratings WHERE user_id = ' . user() . ')' },
	sub { 'DELETE FROM ratings WHERE ctid IN (SELECT max(ctid) FROM ratings WHERE user_id = ' . user() . ')' },
	sub { 'UPDATE ratings SET item_id = item_id % 25 + 1 WHERE user_id = ' . user() },
	sub { 'UPDATE ratings SET user_id = user_id % 40 + 1 WHERE item_id = ' . item() },
	sub { 'UPDATE ratings SET rating = rating WHERE user_id % 5 = ' . $generator->below(5) },
	sub { 'INSERT INTO ratings SELECT 41, i, 4 FROM generate_series(1, 5) i' },
	sub { 'UPDATE lists SET score = score + 1 WHERE user_id = ' . user() },
	sub { 'UPDATE lists SET item_id = ' . item() . ' WHERE user_id = ' . user() . ' AND rank = ' . (1 + $generator->below(5)) },
	sub { 'DELETE FROM lists WHERE user_id = ' . user() . $generator->one('', ' AND rank = 3') },
	sub { 'INSERT INTO lists VALUES (' . $generator->one(user(), 1000) . ', ' . $generator->one(6, 7) . ', 1, 1)' },
	sub { 'UPDATE lists SET rank = rank + 10 WHERE user_id = ' . user() },
	sub { 'UPDATE fm_m_user SET w = w + 1 WHERE user_id = ' . user() },
	sub { 'UPDATE fm_m_user SET v = (SELECT array_agg(-e) FROM unnest(v) e) WHERE user_id = ' . user() },
);
my @commands = (
	(map { my $how = $_; sub { "VACUUM $how " . $generator->one('ratings', 'lists', 'ratings, lists', 'fm_m_user') } } ('', '', '(FREEZE)', 'FULL')),
	sub { 'CREATE TABLE copies AS TABLE ratings; TRUNCATE ratings; INSERT INTO ratings TABLE copies; DROP TABLE copies' },
	sub { 'BEGIN; CREATE TABLE copies AS TABLE ratings; TRUNCATE ratings; INSERT INTO ratings TABLE copies; DROP TABLE copies; ' . $generator->one('COMMIT', 'ROLLBACK') },
	sub { 'ALTER TABLE ratings ADD COLUMN more integer DEFAULT 5; ALTER TABLE ratings DROP COLUMN more' },
	sub { 'ALTER TABLE ratings ALTER spare TYPE ' . $generator->one('bigint', 'text', 'integer') . ' USING 0' },
	sub { 'UPDATE ratings SET spare = NULL; ALTER TABLE ratings ALTER spare TYPE integer USING item_id % 25 + 1; ALTER TABLE ratings RENAME item_id TO swap; ALTER TABLE ratings RENAME spare TO item_id; ALTER TABLE ratings RENAME swap TO spare' },
	sub { 'CLUSTER ratings USING ratings_user_id_idx' },
	sub { "SELECT fm_write_top_x('lists', " . $generator->one(3, 5) . ", 'm', " . $generator->one('true', 'false') . ')' },
	sub { "SELECT fm_activate('m', " . $generator->one(1, 2) . ')' },
	sub { q{CREATE OR REPLACE FUNCTION nothing() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN new; END'; CREATE TRIGGER nothing BEFORE UPDATE ON lists FOR EACH ROW EXECUTE FUNCTION nothing()} },
	sub { 'DROP TRIGGER IF EXISTS nothing ON lists' },
	sub { 'ALTER TABLE ratings ENABLE ROW LEVEL SECURITY; ALTER TABLE ratings DISABLE ROW LEVEL SECURITY' },
	sub { 'SELECT txid_current()' },
	sub { 'CHECKPOINT' },
);

sub change { return $generator->one(@changes)->() }

# One thing that happens, in the main session or in any; as text for the diagnosis, too.
sub happen
{
	my ($mine) = @_;
	my $n = $generator->below($mine ? 63 : 100);
	my $other = $generator->one(@others);
	my ($session, $sql) = ($main, '');
	if ($n < 35) { $sql = change() }
	elsif ($n < 45) { $sql = 'BEGIN; ' . change() . '; ' . change() . '; ' . $generator->one('ROLLBACK', 'COMMIT') }
	elsif ($n < 55) { $sql = 'BEGIN; SAVEPOINT a; ' . change() . '; ' . $generator->one('RELEASE a', 'ROLLBACK TO a') . '; SAVEPOINT b; ' . change() . '; ' . $generator->one('RELEASE b', 'ROLLBACK TO b') . '; COMMIT' }
	elsif ($n < 60) { $sql = 'BEGIN; ' . change() . "; SELECT fm_write_top_x('lists', 5, 'm'); " . change() . '; ' . $generator->one('ROLLBACK', 'COMMIT') }
	elsif ($n < 63) { $sql = 'BEGIN; SAVEPOINT a; ' . change() . "; SELECT fm_write_top_x('lists', 5, 'm'); " . $generator->one('RELEASE', 'ROLLBACK TO') . ' a; COMMIT' }
	elsif ($n < 72) { ($session, $sql) = ($other, 'BEGIN' . $generator->one('', ' ISOLATION LEVEL REPEATABLE READ') . '; ' . change()) }
	elsif ($n < 78) { ($session, $sql) = ($other, $generator->one('COMMIT', 'COMMIT', 'ROLLBACK', 'SAVEPOINT a; ' . change())) }
	elsif ($n < 81) { my $name = $generator->one('one', 'two'); ($session, $sql) = ($other, 'ROLLBACK; BEGIN; ' . change() . "; PREPARE TRANSACTION '$name'") }
	elsif ($n < 84) { my $name = $generator->one('one', 'two'); $sql = $generator->one('COMMIT', 'ROLLBACK') . " PREPARED '$name'" }
	elsif ($n < 86) { ($session, $sql) = ($other, "SELECT fm_write_top_x('lists', 5, 'm'); COMMIT") }
	else { $sql = $generator->one(@commands)->() }
	$session->run($sql, 60);
	$main->run('ROLLBACK') if $session == $main;
	return ($session == $main ? 'main: ' : 'other: ') . $sql;
}

# What differs between the table and brute force; nothing where it is as it should be.
my $check = q{
WITH pairs AS MATERIALIZED (
	SELECT u.id::integer AS user_id, i.id::integer AS item_id, (SELECT sum(a::float8 * b::float8) FROM unnest(u.vector, i.vector) t (a, b)) AS score
	FROM fm_user_vectors('m') u, fm_item_vectors('m') i
), ranked AS (
	SELECT user_id, item_id, score, row_number() OVER (PARTITION BY user_id ORDER BY score DESC, item_id) AS rank
	FROM pairs p WHERE NOT EXISTS (SELECT FROM ratings r WHERE r.user_id = p.user_id AND r.item_id = p.item_id)
), relative AS (
	SELECT user_id, rank, item_id, score - first_value(score) OVER (PARTITION BY user_id ORDER BY rank) AS score FROM lists
), wrong AS (
	SELECT l.*, r.item_id AS right_item FROM relative l
	FULL JOIN (SELECT *, score - first_value(score) OVER (PARTITION BY user_id ORDER BY rank) AS relative FROM ranked WHERE rank <= 5) r
		ON r.user_id = l.user_id AND r.rank = l.rank
	WHERE r.item_id IS DISTINCT FROM l.item_id OR abs(r.relative - l.score) > 1e-3
)
SELECT 'wrong ' || count(*) || coalesce(': ' || min(wrong::text), '') || ', rows ' || (SELECT count(*) - count(DISTINCT (user_id, rank)) FROM lists) FROM wrong};

# Write, and compare; false if there was nothing to compare, since somebody else had a lock.
my ($known, $written, $wrong) = (0, 0, 0);

sub write_and_check
{
	my (@history) = @_;
	my $isolation = $generator->one('', '', ' ISOLATION LEVEL REPEATABLE READ');
	return write_in($main, "BEGIN$isolation;", @history);
}

# A writing that waits for another one, with the snapshot that it took before it.
sub wait_meanwhile
{
	my ($holder, $third) = @others;
	$holder->run('ROLLBACK; BEGIN; LOCK TABLE lists IN SHARE UPDATE EXCLUSIVE MODE');
	$third->run('ROLLBACK');
	$main->ask("SET lock_timeout = '20s'; SELECT fm_write_top_x('lists', 5, 'm'); RESET lock_timeout");
	$node->poll_query_until('postgres', q{SELECT count(*) > 0 FROM pg_locks WHERE NOT granted AND relation = 'lists'::regclass})
	  if !$main->done(0.2);
	my @changes = map { change() } 1 .. 2;
	$third->run($_) for @changes;
	$holder->run(q{SELECT fm_write_top_x('lists', 5, 'm'); COMMIT});
	$main->wait_for(60);
	return ('main waits with a writing', (map { "other: $_" } @changes), 'other: written', 'main: written');
}

# The same with a snapshot that is older than another writing.
sub write_late
{
	my (@history) = @_;
	my $other = $generator->one(@others);
	$other->run('ROLLBACK; BEGIN ISOLATION LEVEL REPEATABLE READ; SELECT count(*) FROM ratings');
	my @meanwhile = map { happen(1) } 1 .. 1 + $generator->below(2);
	write_and_check(@history, @meanwhile);
	return write_in($other, '', @history, 'a snapshot of another session', @meanwhile, 'written');
}

sub write_in
{
	my ($session, $begin, @history) = @_;
	my $answer = $session->run("$begin SELECT fm_write_top_x('lists', 5, 'm'); $check; COMMIT", 60);
	$session->run('ROLLBACK');
	BAIL_OUT("the server is gone after @history") if $session->{gone};
	return 0 if $answer =~ /ERROR:  (55P03|40P01|40001)/;
	return 0 if $begin eq '' && $answer =~ /ERROR:  23505/;    # as for any INSERT of an older snapshot
	$written++;
	$known += $1 if $answer =~ /(\d+) lists of table \S+ are known to be right/;
	return 1 if $answer =~ /^wrong 0, rows 0$/m;
	$wrong++;
	my ($said) = $answer =~ /^(wrong .*|.*ERROR.*)$/m;
	diag("$said\n    " . join("\n    ", @history, "$begin written")) if $wrong <= 10;
	return 1;
}

for my $history (1 .. $count)
{
	begin() if $history % 10 == 1 || $generator->chance(3) || $wrong;
	last if $wrong > 20;
	my @history;
	for (1 .. 2 + $generator->below(3))
	{
		push @history, map { happen() } 1 .. 1 + $generator->below(4);
		push @history, wait_meanwhile() if $generator->chance(10);
		my $compared = $generator->chance(20) ? write_late(@history) : write_and_check(@history);
		push @history, 'written' if $compared;
	}
}
is($node->psql('postgres', 'SELECT 1'), 0, 'the server lives');
is($wrong, 0, sprintf('%d histories, %d writings, %d lists known to be right (seed %d)', $count, $written, $known, $seed));
cmp_ok($known, '>', $written, 'lists are known at all');
$_->quit for $main, @others;
$node->stop('immediate');
done_testing();
