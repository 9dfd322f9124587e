# fm_tune commits each trial, so that others see it. After a cancel, the next call continues the search.
use strict;
use warnings;
use Test::More;
use FindBin;
use lib $FindBin::Bin;
use NeedCluster;

my $node = PostgreSQL::Test::Cluster->new('tune');
$node->init;
$node->append_conf('postgresql.conf', "fsync = off\n");
$node->start;

# From the second trial on, reading the source waits for the advisory lock 1.
$node->safe_psql(
	'postgres', q{
CREATE EXTENSION fmtopx;
CREATE TABLE ratings AS
SELECT u AS user_id, i AS item_id, (3 + sin(u) + cos(i) + sin(u * 0.7) * cos(i * 1.3))::real AS rating
FROM generate_series(1, 60) u, generate_series(1, 50) i WHERE hashint8extended(u * 1000 + i, 1) % 3 = 0;
CREATE FUNCTION gate() RETURNS real LANGUAGE plpgsql AS
	$$BEGIN
		IF (SELECT count(*) FROM public.fm_trial WHERE model = 'm') > 0 THEN
			PERFORM pg_catalog.pg_advisory_lock(1);
			PERFORM pg_catalog.pg_advisory_unlock(1);
		END IF;
		RETURN 3;
	END$$;
CREATE VIEW source AS SELECT * FROM ratings UNION ALL SELECT 1, 1, gate();
SELECT fm_train('m', 'source', solver => 'als', num_factors => 4, iterations => 3);
});

sub value { return $node->safe_psql('postgres', $_[0]) }

# The search is held in its second trial until it is cancelled.
my $holder = IPC::Run::start(
	[ 'psql', '-XAtq', '-d', $node->connstr('postgres'), '-c', 'SELECT pg_advisory_lock(1)', '-c', 'SELECT pg_sleep(600)' ],
	'>' => \my $held, '2>' => \my $held_error);
$node->poll_query_until('postgres', "SELECT count(*) = 1 FROM pg_locks WHERE locktype = 'advisory' AND granted")
  or die 'nobody holds the lock';

my ($out, $err) = ('', '');
my $search = IPC::Run::start([ 'psql', '-XAtq', '-d', $node->connstr('postgres'), '-c', q{CALL fm_tune('m', trials => 5)} ],
	'>' => \$out, '2>' => \$err);
ok( $node->poll_query_until(
		'postgres', "SELECT count(*) = 1 FROM pg_locks WHERE locktype = 'advisory' AND NOT granted"),
	'the search is in its second trial');
is(value('SELECT trial, value IS NOT NULL FROM fm_trials'), '1|t', 'the first trial is committed');
is(value('SELECT model, phase FROM fm_progress'), 'm|loading ratings', 'the second trial is in progress');
value(q{SELECT pg_cancel_backend(pid) FROM pg_stat_activity WHERE query LIKE 'CALL fm_tune%'});
$search->finish;
like($err, qr/canceling statement due to user request/, 'fm_tune is cancelled');
is(value('SELECT count(*) FROM fm_trials'), '1', 'the first trial stays, the second left nothing');
is(value('SELECT count(*) FROM fm_progress'), '0', 'nothing is in progress');

value(q{SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE query LIKE '%pg_sleep(600)%' AND pid <> pg_backend_pid()});
$holder->finish;
my $first = value('SELECT started_at FROM fm_trials');
($out, $err) = ('', '');
IPC::Run::run([ 'psql', '-XAtq', '-d', $node->connstr('postgres'), '-c', q{CALL fm_tune('m', trials => 5)} ],
	'>' => \$out, '2>' => \$err);
like($err, qr/after 5 new trials, the best has rmse/, 'called again, it continues');
is(value('SELECT count(*), count(DISTINCT trial) FROM fm_trials'), '6|6', 'it makes five more trials');
is(value('SELECT started_at FROM fm_trials WHERE trial = 1'), $first, 'it does not repeat the first trial');
is(value('SELECT count(*) FROM fm_runs'), '1', 'no run was added');

done_testing();
