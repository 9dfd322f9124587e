# Trainings that are cancelled, time out, are killed, collide or fail: the old version is still served, nothing
# is left behind, and fm_runs has the error of a refresh.
use strict;
use warnings;
use Test::More;
use Time::HiRes qw(time usleep);
use FindBin;
use lib $FindBin::Bin;
use NeedCluster;

my $node = PostgreSQL::Test::Cluster->new('failures');
$node->init(allows_streaming => 1);
$node->append_conf('postgresql.conf', "fsync = off\nautovacuum = off\n");
$node->start;
$node->safe_psql(
	'postgres', q{
CREATE EXTENSION fmtopx;
CREATE TABLE ratings AS
SELECT u AS user_id, i AS item_id, (3 + sin(u) + cos(i) + sin(u * 0.7) * cos(i * 1.3))::real AS rating
FROM generate_series(1, 200) u, generate_series(1, 100) i WHERE hashint8extended(u * 1000 + i, 1) % 3 = 0;
CREATE INDEX ON ratings (user_id);
SELECT fm_train('m', 'ratings', num_factors => 4, iterations => 10);
SELECT fm_write_top_x('lists', 5, 'm');
});

# What must be the same after every failure: the lists, the version, the rows, the tables.
my $state = q{
SELECT md5(string_agg(t::text, ' ' ORDER BY t.user_id, t.rank)) FROM fm_top_x_all(5, 'm') t;
SELECT md5(string_agg(t::text, ' ' ORDER BY t.user_id, t.rank)) FROM lists t;
SELECT active_version FROM fm_models;
SELECT array_agg(DISTINCT version) FROM fm_m_user;
SELECT array_agg(DISTINCT version) FROM fm_m_item;
SELECT array_agg(DISTINCT version) FROM fm_m_matrix;
SELECT array_agg(relname ORDER BY relname) FROM pg_class WHERE relkind = 'r' AND relnamespace = 'public'::regnamespace;
};
my $before = $node->safe_psql('postgres', $state);

sub unharmed
{
	my ($what) = @_;
	is($node->safe_psql('postgres', $state), $before, "$what: the old version serves, nothing is left over");
	is($node->safe_psql('postgres', 'SELECT count(*) FROM fm_progress'), '0', "$what: no progress is shown any more");
}

# Start a training that would never end, and return when it is iterating.
sub start_long
{
	my ($sql) = @_;
	my ($out, $err) = ('', '');
	my $run = IPC::Run::start(
		[ 'psql', '-XAtq', '-d', $node->connstr('postgres'), '-c', $sql ],
		'>' => \$out, '2>' => \$err);
	$node->poll_query_until('postgres', q{SELECT iteration > 0 FROM fm_progress}) or die "it did not start: $err";
	return { run => $run, err => \$err };
}

sub finish
{
	my ($long) = @_;
	$long->{run}->finish;
	return ${ $long->{err} };
}

my $for_ever = q{SELECT fm_train('m', 'ratings', num_factors => 4, iterations => 100000)};

# Cancel.
my $long = start_long($for_ever);
my $asked = time;
$node->safe_psql('postgres', 'SELECT pg_cancel_backend(pid) FROM fm_progress');
like(finish($long), qr/canceling statement due to user request/, 'a training is cancelled');
cmp_ok(time - $asked, '<', 5, 'soon');
unharmed('cancelled');

# A timeout, and the end of the connection.
my ($status, $out, $err) = $node->psql('postgres', "SET statement_timeout = 300; $for_ever");
like($err, qr/statement timeout/, 'a training runs into statement_timeout');
unharmed('timed out');
$long = start_long($for_ever);
$node->safe_psql('postgres', 'SELECT pg_terminate_backend(pid) FROM fm_progress');
like(finish($long), qr/terminating connection/, 'the connection of a training is ended');
unharmed('terminated');

# Parallel workers: their number does not change a bit, and none of them is left behind.
my $crowd = q{CREATE TABLE IF NOT EXISTS crowd AS
    SELECT u AS user_id, i AS item_id, (3 + sin(u) + cos(i) + sin(u * 0.7) * cos(i * 1.3))::real AS rating
    FROM generate_series(1, 1000) u, generate_series(1, 100) i WHERE hashint8extended(u * 1000 + i, 1) % 3 = 0;};
my @bits = map {
	$node->safe_psql('postgres', qq{$crowd
		SELECT fm_train('crowd', 'crowd', iterations => 5, solver => '$_->[0]', workers => $_->[1]) \\g /dev/null
		SELECT md5(string_agg(t::text, ' ' ORDER BY t.user_id, t.rank)) FROM fm_top_x_all(10, 'crowd') t;
		SELECT fm_drop('crowd') \\g /dev/null})
} ([ 'mcmc', 0 ], [ 'mcmc', 1 ], [ 'mcmc', 3 ], [ 'als', 0 ], [ 'als', 2 ]);
like($bits[0], qr/^\w{32}$/, 'a training by itself');
is($bits[1], $bits[0], 'with one worker: the same bits');
is($bits[2], $bits[0], 'with three workers: the same bits');
is($bits[4], $bits[3], 'least squares: the same bits');
isnt($bits[3], $bits[0], 'als has other bits than mcmc');

my $together = q{SELECT fm_train('crowd', 'crowd', iterations => 100000, workers => 2)};
my $workers = q{SELECT count(*) FROM pg_stat_activity WHERE backend_type = 'parallel worker'};
$long = start_long($together);
is($node->safe_psql('postgres', $workers), '2', 'two workers work');
$node->safe_psql('postgres', 'SELECT pg_cancel_backend(pid) FROM fm_progress');
like(finish($long), qr/canceling statement due to user request/, 'a training with workers is cancelled');
$long = start_long($together);
$node->safe_psql('postgres', q{SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE backend_type = 'parallel worker' LIMIT 1});
like(finish($long), qr/terminating .* due to administrator command/, 'a worker that is ended fails the call');
ok($node->poll_query_until('postgres', "SELECT ($workers) = 0"), 'no worker is left');
unlike(PostgreSQL::Test::Utils::slurp_file($node->logfile), qr/memory leak/, 'no shared memory is left');
is($node->safe_psql('postgres', q{SET max_parallel_workers = 0;
	SELECT status FROM fm_train('crowd', 'crowd', iterations => 5, workers => 2); SELECT fm_drop('crowd'); DROP TABLE crowd}),
	"succeeded\n", 'with no worker to be had the backend trains alone');
unharmed('workers');

# A failed first training leaves no table and no model.
$long = start_long(q{SELECT fm_train('first', 'ratings', iterations => 100000)});
$node->safe_psql('postgres', 'SELECT pg_cancel_backend(pid) FROM fm_progress');
finish($long);
is($node->safe_psql('postgres', q{SELECT count(*) FROM fm_model WHERE model = 'first'}), '0', 'no model is left');
unharmed('a first training');

# A refresh that is cancelled is recorded.
$node->safe_psql('postgres', q{CREATE TABLE other AS TABLE ratings;
    SELECT fm_train('n', 'other', num_factors => 4, iterations => 10);
    UPDATE fm_model SET iterations = 100000 WHERE model = 'n'});
$long = start_long(q{CALL fm_refresh('n')});
is($node->safe_psql('postgres', q{SELECT status FROM fm_runs WHERE model = 'n' ORDER BY version DESC LIMIT 1}),
	'running', 'a refresh that runs is seen to run');

# Others train the same model at the same time.
($status, $out, $err) = $node->psql('postgres', q{CALL fm_refresh('n')});
is($status, 0, 'a second refresh skips');
like($err, qr/NOTICE: .*"n" is being trained already/, 'a refresh that skips raises a notice');
($status, $out, $err) = $node->psql('postgres', q{CALL fm_refresh('n', on_conflict => 'error')});
like($err, qr/ERROR: .*"n" is being trained already/, 'on_conflict => error: a second refresh fails');
($status, $out, $err) = $node->psql('postgres', q{SET lock_timeout = 200; CALL fm_refresh('n', on_conflict => 'wait')});
like($err, qr/lock timeout/, 'on_conflict => wait: a second refresh waits');
is($node->safe_psql('postgres', q{SET lock_timeout = 200; SELECT count(*) FROM fm_top_x(1, 5, 'n')}), '5',
	'while readers read');

$node->safe_psql('postgres', 'SELECT pg_cancel_backend(pid) FROM fm_progress');
like(finish($long), qr/canceling statement due to user request/, 'a refresh is cancelled');
is( $node->safe_psql('postgres', q{SELECT status, message FROM fm_runs WHERE model = 'n' ORDER BY version DESC LIMIT 1}),
	'failed|canceling statement due to user request', 'and recorded with its message');
is($node->safe_psql('postgres', q{SELECT count(*) FROM fm_top_x(1, 5, 'n')}), '5', 'the old version serves');

# A refresh with bad data.
$node->safe_psql('postgres', q{UPDATE fm_model SET iterations = 10 WHERE model = 'n';
    INSERT INTO other VALUES (1, 1, 'NaN')});
($status, $out, $err) = $node->psql('postgres', q{CALL fm_refresh('n')});
like($err, qr/column "rating" of relation "other" holds the rating NaN/, 'a refresh fails on NaN');
like($node->safe_psql('postgres', q{SELECT message FROM fm_runs WHERE model = 'n' ORDER BY version DESC LIMIT 1}),
	qr/holds the rating NaN/, 'and that is recorded');
is($node->safe_psql('postgres', q{SELECT count(*) FROM fm_top_x(2, 5, 'n')}), '5', 'the old version serves');
$node->safe_psql('postgres', q{DELETE FROM other WHERE rating = 'NaN'; CALL fm_refresh('n')});
is($node->safe_psql('postgres', q{SELECT status FROM fm_runs WHERE model = 'n' ORDER BY version DESC LIMIT 1}),
	'succeeded', 'mended, it succeeds');
$node->safe_psql('postgres', q{SELECT fm_drop('n'); DROP TABLE other});
unharmed('refreshes of another model');

# Two trainings at once come one after the other.
my @both = map {
	my $text = '';
	{ text => \$text, run => IPC::Run::start(
		[ 'psql', '-XAtq', '-d', $node->connstr('postgres'), '-c',
		  q{SELECT version FROM fm_train('m', 'ratings', num_factors => 4, iterations => 500)} ],
		'>' => \$text, '2>' => \$text) }
} 1 .. 2;
$_->{run}->finish for @both;
my @versions = sort map { ${ $_->{text} } =~ /^(\d+)$/m ? $1 : ${ $_->{text} } } @both;
is("@versions", '2 3', 'two trainings at once make two versions');
is($node->safe_psql('postgres', 'SELECT array_agg(DISTINCT version) FROM fm_m_user'), '{2,3}', 'both versions are kept');

# A crash in the middle of a training.
$before = $node->safe_psql('postgres', $state);
$long = start_long($for_ever);
$node->stop('immediate');
finish($long);
$node->start;
unharmed('crashed');

# Dump and restore into another database: the same lists.
my $lists = q{SELECT md5(string_agg(t::text, ' ' ORDER BY t.user_id, t.rank)) FROM fm_top_x_all(5, 'm') t};
my $dump = $node->basedir . '/dump.sql';
$node->safe_psql('postgres', 'CREATE DATABASE restored');
PostgreSQL::Test::Utils::system_or_bail('pg_dump', '-f', $dump, $node->connstr('postgres'));
PostgreSQL::Test::Utils::system_or_bail('psql', '-Xq', '-v', 'ON_ERROR_STOP=1', '-f', $dump, '-o', '/dev/null',
	$node->connstr('restored'));
is($node->safe_psql('restored', $lists), $node->safe_psql('postgres', $lists), 'a restored database gives the same lists');
is($node->safe_psql('restored', q{CALL fm_refresh('m'); SELECT max(version), count(*) FROM fm_runs}),
	'4|4', 'and goes on from there');

# A standby serves the same lists.
$node->backup('backup');
my $standby = PostgreSQL::Test::Cluster->new('standby');
$standby->init_from_backup($node, 'backup', has_streaming => 1);
$standby->start;
is($standby->safe_psql('postgres', $lists), $node->safe_psql('postgres', $lists), 'a standby gives the same lists');
$standby->stop;
$node->stop;
done_testing();
