# fm_refresh commits between reading, computing and writing. While it computes, it does not hold back vacuum.
# Before it writes, it notices what others have changed meanwhile. If it is cancelled, killed or fails in any of
# the three, the old version is still served, and the run is recorded as failed.
use strict;
use warnings;
use Test::More;
use FindBin;
use lib $FindBin::Bin;
use NeedCluster qw(BackgroundPsql);

my $node = PostgreSQL::Test::Cluster->new('commits');
$node->init;
# Otherwise its own vacuum would be the first to wait for the locks below.
$node->append_conf('postgresql.conf', "fsync = off\nautovacuum = off\nfmtopx.vacuum = off\n");
$node->start;

# Reading the last row of the source waits for the advisory lock 1.
$node->safe_psql(
	'postgres', q{
CREATE EXTENSION fmtopx;
CREATE ROLE owner LOGIN;
CREATE ROLE heir LOGIN;
GRANT ALL ON SCHEMA public TO PUBLIC;
CREATE TABLE ratings AS
SELECT u AS user_id, i AS item_id, (3 + sin(u) + cos(i) + sin(u * 0.7) * cos(i * 1.3))::real AS rating
FROM generate_series(1, 1000) u, generate_series(1, 100) i WHERE hashint8extended(u * 1000 + i, 1) % 3 = 0;
CREATE INDEX ON ratings (user_id);
CREATE FUNCTION gate() RETURNS real LANGUAGE plpgsql AS
	$$BEGIN PERFORM pg_catalog.pg_advisory_lock(1); PERFORM pg_catalog.pg_advisory_unlock(1); RETURN 3; END$$;
CREATE VIEW source AS SELECT * FROM ratings UNION ALL SELECT 1, 1, gate();
CREATE TABLE films AS SELECT item_id, item_id % 3 = 0 AS funny FROM generate_series(1, 100) item_id;
ALTER TABLE ratings OWNER TO owner;
ALTER TABLE films OWNER TO owner;
ALTER VIEW source OWNER TO owner;
SET ROLE owner;
SELECT fm_train('m', 'source', num_factors => 4, iterations => 3, workers => 2, item_features => 'films', history => true);
SELECT fm_write_top_x('lists', 5, 'm');
});

sub value { return $node->safe_psql('postgres', $_[0]) }

sub iterate
{
	my ($iterations) = @_;
	value("UPDATE fm_model SET iterations = $iterations WHERE model = 'm'");
}

# Start a statement in the background, after settings that each have a transaction of their own.
sub start
{
	my ($sql, %with) = @_;
	my ($out, $err) = ('', '');
	my $run = IPC::Run::start(
		[ 'psql', '-XAtq', '-U', $with{role} // 'owner', '-d', $node->connstr('postgres'),
			(map { ('-c', "SET $_") } @{ $with{set} // [] }), '-c', $sql ],
		'>' => \$out, '2>' => \$err);
	return { run => $run, err => \$err };
}

sub finish
{
	my ($started) = @_;
	$started->{run}->finish;
	return ${ $started->{err} };
}

sub wait_for
{
	my ($sql, $started) = @_;
	$node->poll_query_until('postgres', $sql) or die "waited in vain: ${ $started->{err} }";
}

# What must be the same after every failure.
my $state = q{
SELECT md5(string_agg(t::text, ' ' ORDER BY t.user_id, t.rank)) FROM fm_top_x_all(5, 'm') t;
SELECT md5(string_agg(t::text, ' ' ORDER BY t.user_id, t.rank)) FROM lists t;
SELECT active_version FROM fm_models WHERE model = 'm';
SELECT array_agg(DISTINCT version) FROM fm_m_user;
SELECT array_agg(DISTINCT version) FROM fm_m_matrix;
SELECT count(*) FROM fm_progress;
SELECT count(*) FROM pg_locks WHERE locktype = 'object' AND mode = 'ExclusiveLock';
};
my $before = value($state);
my $last_run = q{SELECT status || ': ' || coalesce(message, '') FROM fm_run WHERE model = 'm' ORDER BY version DESC LIMIT 1};

sub unharmed
{
	my ($what, $run) = @_;
	is(value($state), $before, "$what: the old version serves, nothing is left over");
	like(value($last_run), $run, "$what: the run says so");
}

# Return how many pages VACUUM cannot truncate from an emptied table, because a snapshot may still need its
# rows.
sub pages_held_back
{
	return value(q{CREATE TABLE emptied AS SELECT * FROM generate_series(1, 1000);
		DELETE FROM emptied;
		VACUUM emptied;
		SELECT pg_relation_size('emptied') / current_setting('block_size')::int;
		DROP TABLE emptied});
}

# Snapshots and transaction IDs that a training and its workers hold.
my $holding = q{SELECT count(*) || ' processes, ' || count(backend_xmin) || ' snapshots, ' || count(backend_xid) || ' ids'
	FROM pg_stat_activity WHERE fm_pid IN (pid, leader_pid)} =~ s/fm_pid/(SELECT pid FROM fm_progress)/r;

# Computing.
iterate(1_000_000);
my $computing = 'SELECT iteration > 0 FROM fm_progress';
for my $level ('read committed', 'repeatable read', 'serializable')
{
	my $long = start(q{CALL fm_refresh('m')}, set => ["default_transaction_isolation = '$level'"]);
	wait_for($computing, $long);
	is(value($holding), '3 processes, 0 snapshots, 0 ids', "$level: a refresh computes without a snapshot");
	is(pages_held_back(), 0, "$level: vacuum removes what is deleted meanwhile");
	is(value($last_run), 'running: ', "$level: others see that it runs");
	value('SELECT pg_cancel_backend(pid) FROM fm_progress');
	like(finish($long), qr/canceling statement/, "$level: it is cancelled");
	unharmed("$level, cancelled while computing", qr/^failed: canceling statement/);
}
my $alone = start(q{CALL fm_refresh('m')}, set => ['max_parallel_workers = 0']);
wait_for($computing, $alone);
is(value($holding), '1 processes, 0 snapshots, 0 ids', 'without workers it has no snapshot either');
value('SELECT pg_terminate_backend(pid) FROM fm_progress');
like(finish($alone), qr/terminating connection/, 'the refresh is killed');
unharmed('killed while computing', qr/^running/);

# Called from other procedures, and where it must not commit.
my $nested = start(q{DO $$BEGIN PERFORM count(*) FROM ratings; CALL fm_refresh('m'); END$$});
wait_for($computing, $nested);
is(value($holding), '3 processes, 0 snapshots, 0 ids', 'called by a DO block, it computes without a snapshot, too');
value(q{SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE backend_type = 'parallel worker'});
like(finish($nested), qr/terminating .* due to administrator command/, 'a worker is killed');
unharmed('a worker killed', qr/^failed: terminating/);
my $atomic = start(q{BEGIN; CALL fm_refresh('m')});
wait_for($computing, $atomic);
is(value($holding), '3 processes, 1 snapshots, 1 ids', 'in a transaction block it keeps its snapshot, and its workers have none');
cmp_ok(pages_held_back(), '>', 0, 'vacuum waits for the snapshot of a transaction block');
value('SELECT pg_cancel_backend(pid) FROM fm_progress');
finish($atomic);
unharmed('cancelled in a transaction block', qr/^failed: terminating/);
iterate(3);

# Reading.
my $gate = $node->background_psql('postgres', on_error_stop => 0);
my $at_the_gate = q{SELECT count(*) = 1 FROM pg_stat_activity WHERE wait_event = 'advisory'};
for my $end ('cancel', 'terminate')
{
	$gate->query('SELECT pg_advisory_lock(1)');
	my $reading = start(q{CALL fm_refresh('m')});
	wait_for($at_the_gate, $reading);
	is(value('SELECT phase FROM fm_progress'), 'loading ratings', 'the refresh is reading');
	value("SELECT pg_${end}_backend(pid) FROM fm_progress");
	finish($reading);
	$gate->query('SELECT pg_advisory_unlock(1)');
	unharmed("$end while reading", $end eq 'cancel' ? qr/^failed: canceling/ : qr/^running/);
}

# Writing.
my $waits = q{SELECT count(*) = 1 FROM pg_stat_activity WHERE wait_event = 'relation'};
for my $end ('cancel', 'terminate')
{
	$gate->query('BEGIN; LOCK TABLE fm_m_item IN SHARE MODE');
	my $writing = start(q{CALL fm_refresh('m')});
	wait_for($waits, $writing);
	is(value('SELECT phase FROM fm_progress'), 'writing version', 'the refresh is writing');
	value("SELECT pg_${end}_backend(pid) FROM fm_progress");
	finish($writing);
	$gate->query('COMMIT');
	unharmed("$end while writing", $end eq 'cancel' ? qr/^failed: canceling/ : qr/^running/);
}
value(q{ALTER TABLE fm_m_matrix ADD CHECK (version < 3)});
like(finish(start(q{CALL fm_refresh('m')})), qr/violates check constraint/, 'a version that cannot be stored');
unharmed('not stored', qr/^failed: .*violates check constraint/);
value(q{ALTER TABLE fm_m_matrix DROP CONSTRAINT fm_m_matrix_version_check});

# Stop a refresh between computing and writing, change something, and let it continue.
sub refresh_around
{
	my ($sql, $role) = @_;
	$gate->query('SELECT pg_advisory_lock(1)');
	my $refresh = start(q{CALL fm_refresh('m')}, role => $role);
	wait_for($at_the_gate, $refresh);
	$gate->query('BEGIN; LOCK TABLE fm_model; SELECT pg_advisory_unlock(1)');
	wait_for($waits, $refresh);
	$gate->query($sql);
	$gate->query('COMMIT');
	return finish($refresh);
}

sub give_to { return join('; ', map { "ALTER TABLE fm_m_$_ OWNER TO $_[0]" } qw(version user item matrix level)) }

like(refresh_around(give_to('heir')), qr/must be owner of model "m"/, 'the model is given away meanwhile');
value(give_to('owner') . '; ' . q{CALL fm_refresh('m')});
$before = value($state);
like(refresh_around(give_to('heir'), 'postgres'), qr/"m" has been given to another owner meanwhile/,
	'nor may a superuser write for one what was read for the other');
value(give_to('owner'));
unharmed('given away', qr/^failed: .*another owner/);
like(refresh_around('ALTER VIEW source RENAME item_id TO item; ALTER VIEW source RENAME rating TO stars'),
	qr/column "item_id" of relation "source" does not exist/, 'a column is renamed meanwhile');
value('ALTER VIEW source RENAME item TO item_id; ALTER VIEW source RENAME stars TO rating');
unharmed('a column renamed', qr/^failed: column "item_id"/);
like(refresh_around('ALTER TABLE fm_m_user ALTER user_id TYPE text'),
	qr/is of type integer, but model "m" was made for ids of type text/, 'the ids of the tables get another type');
value('ALTER TABLE fm_m_user ALTER user_id TYPE integer USING user_id::integer');
unharmed('ids retyped', qr/^failed: .* type text/);
like(refresh_around('ALTER TABLE fm_m_user ALTER user_id TYPE bigint'),
	qr/^NOTICE:  the tables of model "m" are made anew: the type of user_id changes from bigint to integer$/m,
	'an integer type is no obstacle');
is(value($last_run), 'succeeded: ', 'and the version is published');
# A row that the tests above have added repeats another.
my $repeats = qr/\A(NOTICE:  1 row of relation "\w+" repeats the user and item of another\nDETAIL:  .*\n)?\z/;
like(refresh_around('ALTER VIEW source RENAME TO origin; ALTER TABLE fm_m_user RENAME TO users_of_m; ALTER TABLE lists RENAME TO top'),
	$repeats, 'relations are renamed meanwhile');
value('ALTER VIEW origin RENAME TO source; ALTER TABLE users_of_m RENAME TO fm_m_user; ALTER TABLE top RENAME TO lists');
is(value($last_run), 'succeeded: ', 'renamed tables do not matter');
like(refresh_around(q{SELECT fm_set('m', keep_versions => 1)}), $repeats, 'the options change meanwhile');
is(value('SELECT array_agg(DISTINCT version) = array_agg(DISTINCT active_version) FROM fm_m_user, fm_models'), 't', 'changed options take effect');
$before = value($state);
like(refresh_around('DROP VIEW source'), qr/ratings relation .* does not exist/, 'the ratings are dropped meanwhile');
is(value($last_run) =~ /^failed/, 1, 'the run has the error');
is(value(q{SELECT count(*) FROM fm_top_x(7, 5, 'm', exclude_seen => false)}), '5', 'the old version is still served');
value(q{CREATE VIEW source AS SELECT * FROM ratings UNION ALL SELECT 1, 1, gate(); ALTER VIEW source OWNER TO owner;
	SET ROLE owner; SELECT fm_train('m', 'source', num_factors => 4, iterations => 3)});
like(refresh_around('DROP TABLE fm_m_item'), qr/a table of model "m" has been dropped/, 'a table of the model is dropped meanwhile');
is(value(q{SET ROLE owner; SELECT fm_drop('m'); SELECT count(*) FROM fm_model}), "\n0", 'the rest of the model can be dropped');

# A question that waits while a training makes the tables anew, for ids of another type.
value(q{CREATE TABLE typed AS SELECT user_id::integer, item_id, rating FROM ratings;
	SELECT fm_train('t', 'typed', num_factors => 2, iterations => 2)});
for my $type ('bigint', 'text')
{
	value("ALTER TABLE typed ALTER user_id TYPE $type");
	my $ask = $type eq 'text' ? q{SELECT count(*) FROM fm_top_x('7'::text, 5, 't')} : q{SELECT count(*) FROM fm_top_x(7, 5, 't')};
	$gate->query(q{BEGIN; SELECT fm_train('t', 'typed', num_factors => 2, iterations => 2)});
	my $reader = start($ask, role => 'postgres');
	wait_for($waits, $reader);
	$gate->query('COMMIT');
	like(finish($reader), qr/the tables of model "t" have been made anew meanwhile/, "ids become $type: an error, not a wrong list");
	is(value($ask), '5', 'the next question is answered');
}

$gate->quit;
unlike(PostgreSQL::Test::Utils::slurp_file($node->logfile), qr/memory leak|leak:|not closed|still referenced|don't own a lock/,
	'nothing has leaked');
$node->stop;
done_testing();
