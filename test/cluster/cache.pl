# Models in shared memory: one copy for all connections, the right version under every snapshot, eviction by
# size, by a new version and by a drop; own memory if shared memory is short; connections that are killed while
# they load, crashes, standbys, and databases that are copies of each other.
use strict;
use warnings;
use Test::More;
use Time::HiRes qw(usleep);
use FindBin;
use lib $FindBin::Bin;
use NeedCluster qw(BackgroundPsql);

my $node = PostgreSQL::Test::Cluster->new('cache');
$node->init(allows_streaming => 1);
$node->append_conf('postgresql.conf', "fsync = off\nautovacuum = off\nmax_connections = 30\nrestart_after_crash = on\n");
$node->start;
$node->safe_psql(
	'postgres', q{
CREATE EXTENSION fmtopx;
CREATE ROLE reader LOGIN;
CREATE TABLE ratings AS
SELECT i % 50 AS user_id, i AS item_id, (3 + sin(i) + cos(i % 50))::real AS rating
FROM generate_series(1, 10000) i;
CREATE INDEX ON ratings (user_id);
CREATE TABLE words AS SELECT 'u' || user_id AS user_id, repeat('i', item_id % 9) || item_id AS item_id, rating FROM ratings;
CREATE TABLE uuids AS SELECT user_id, md5(item_id::text)::uuid AS item_id, rating FROM ratings;
CREATE TABLE days AS SELECT user_id, date '2000-01-01' + item_id AS item_id, rating FROM ratings;
SELECT fm_train('a', 'ratings', num_factors => 64, iterations => 1, solver => 'als', workers => 0);
SELECT fm_train('b', 'ratings', num_factors => 64, iterations => 1, solver => 'als', seed => 2, workers => 0);
SELECT fm_train('c', 'ratings', num_factors => 64, iterations => 1, solver => 'als', seed => 3, workers => 0);
SELECT fm_train('words', 'words', num_factors => 4, iterations => 2, workers => 0);
SELECT fm_train('uuids', 'uuids', num_factors => 4, iterations => 2, workers => 0);
SELECT fm_train('days', 'days', num_factors => 4, iterations => 2, workers => 0);
});

sub session
{
	my ($database, @params) = @_;
	return $node->background_psql($database // 'postgres', on_error_stop => 0, extra_params => [@params]);
}

# Return the rows of a query, and its warnings.
sub ask
{
	my ($session, $sql) = @_;
	my $rows = $session->query($sql);
	chomp $rows; # the first minor versions of 16 leave the newline
	my $error = $session->{stderr};
	$session->{stderr} = '';
	$error =~ s/^.*background_psql: QUERY_SEPARATOR.*$//mg;
	return $error =~ /ERROR|FATAL|WARNING/ ? "$rows$error" : $rows;
}

sub list
{
	my ($model) = @_;
	return "SELECT string_agg(item_id || ':' || score, ' ' ORDER BY rank) FROM fm_top_x(7, 5, '$model')";
}

sub set_cache_size
{
	my ($size) = @_;
	$node->append_conf('postgresql.conf', "fmtopx.cache_size = '$size'");
	$node->reload;
	$node->poll_query_until('postgres',
		"SELECT setting = '$size' FROM pg_file_settings WHERE name = 'fmtopx.cache_size' ORDER BY seqno DESC LIMIT 1");
	usleep(200_000); # so that sessions handle the signal before their next statement
}

# Return a row for each copy: the model, its version, and whether it is shared.
my $cached = q{SELECT string_agg(model || ':' || version || ':' || shared, ' ' ORDER BY model, version) FROM fm_cache WHERE database = current_database()};
sub cached { return $node->safe_psql('postgres', $cached) }

# Return the inodes of the shared memory files that a backend has mapped and that are larger than any of the
# server's own.
sub mapped
{
	my ($session) = @_;
	my $pid = ask($session, 'SELECT pg_backend_pid()');
	my %inodes;
	open(my $maps, '<', "/proc/$pid/maps") or return;
	while (my $line = <$maps>)
	{
		$inodes{$3} = 1 if $line =~ m{^([0-9a-f]+)-([0-9a-f]+) .* (\d+)\s+/dev/shm/PostgreSQL} && hex($2) - hex($1) > 2 << 20;
	}
	return sort keys %inodes;
}

# One copy for all.
is(cached(), '', 'nothing is cached to begin with');
my @sessions = map { session() } 1 .. 5;
my $first = ask($sessions[0], list('a'));
like($first, qr/^\d+:/, 'a list');
is(cached(), 'a:1:true', 'the model is cached for all');
my $loaded_at = $node->safe_psql('postgres', 'SELECT loaded_at FROM fm_cache');
is(ask($_, list('a')), $first, 'the same list for another connection') for @sessions;
is($node->safe_psql('postgres', 'SELECT hits, in_use, loaded_at FROM fm_cache'), "6|0|$loaded_at", 'one load, six calls');
cmp_ok($node->safe_psql('postgres', 'SELECT size FROM fm_cache'), '>', 10000 * 65 * 4, 'its size');
SKIP:
{
	skip('no /proc/PID/maps', 1) unless -r '/proc/self/maps' && -d '/dev/shm';
	my %inodes = map { $_ => 1 } map { mapped($_) } @sessions;
	is(scalar(keys %inodes), 1, 'all have mapped one piece of memory');
}
is(ask($sessions[1], "SELECT count(*) FROM fm_cache WHERE in_use = 1 AND (SELECT count(*) FROM fm_top_x(1, 3, 'a')) = 3"), '0',
	'no call is in use after its end');

# Ids of other types come out of shared memory unchanged.
for my $model (qw(words uuids days))
{
	my $sql = "SELECT string_agg(md5(t::text), '' ORDER BY user_id, rank) FROM fm_top_x_all(20, '$model') t";
	my $own = ask($sessions[2], "BEGIN; SELECT fm_train('$model', seed => 8, workers => 0) \\g /dev/null\n$sql;");
	is(ask($sessions[2], $cached) =~ /\Q$model\E:2:false/, 1, "$model: loaded by the connection that has just trained it");
	ask($sessions[2], 'COMMIT');
	is(ask($sessions[3], $sql), $own, "$model: the same lists from shared memory");
	like(cached(), qr/\Q$model\E:2:true/, "$model: cached for all");
	is(ask($sessions[2], $sql), $own, "$model: for the trainer, too");
	unlike(ask($sessions[2], $cached), qr/false/, "$model: who has no copy of its own any more");
	is(ask($sessions[3], "SELECT count(*) FROM fm_item_vectors('$model')"), '10000', "$model: all ids are there");
}

# A version that is not committed is not shared. After a rollback it is forgotten.
my $trainer = session();
my $now = ask($trainer, "BEGIN; SELECT fm_train('a', seed => 99) \\g /dev/null\n" . list('a') . ';');
isnt($now, $first, 'a transaction sees the version that it has trained');
like(ask($trainer, $cached), qr/a:2:false/, 'in its own memory');
is(ask($sessions[0], list('a')), $first, 'others do not');
ask($trainer, 'ROLLBACK');
is(ask($trainer, list('a')), $first, 'rolled back, it is not served');
is(ask($trainer, "BEGIN; SAVEPOINT s; SELECT fm_train('a', seed => 98) \\g /dev/null\n" . list('a') . ';') eq $first, '', 'within a savepoint');
is(ask($trainer, 'ROLLBACK TO s; ' . list('a') . ';'), $first, 'taken back to the savepoint');
ask($trainer, 'COMMIT');
unlike(cached(), qr/a:2/, 'neither has been published');

# A new version replaces the old one, except for readers with an old snapshot.
my ($early, $late, $reader) = (session(), session(), session());
ask($early, 'BEGIN ISOLATION LEVEL REPEATABLE READ; ' . list('a') . ';');
ask($late, 'BEGIN ISOLATION LEVEL REPEATABLE READ; SELECT count(*) FROM fm_models;');
$node->safe_psql('postgres', q{SELECT fm_train('a', seed => 97)});
$now = ask($reader, list('a'));
isnt($now, $first, 'the new version');
like(cached(), qr/^a:2:true/, 'has taken the place of the old one');
is(ask($early, list('a')), $first, 'an old snapshot goes on with the old one');
is(ask($late, list('a')), $first, 'and one that has not read it before');
like(ask($late, $cached), qr/a:1:false a:2:true/, 'into its own memory');
like(cached(), qr/^a:2:true/, 'the new one is still cached');
ask($_, 'COMMIT') for $early, $late;
is(ask($_, list('a')), $now, 'in its next transaction it has the new one, too') for $early, $late;
unlike(ask($late, $cached), qr/a:1/, 'and the old one is gone');
is(ask($_, list('a')), $now, 'as everybody') for @sessions;
SKIP:
{
	skip('no /proc/PID/maps', 1) unless -r '/proc/self/maps' && -d '/dev/shm';
	my %inodes = map { $_ => 1 } map { mapped($_) } @sessions, $early, $late, $reader;
	is(scalar(keys %inodes), 1, 'the memory of the old one is mapped by none');
}

# An application whose default is repeatable read, so that its snapshots are often old.
ask($reader, 'SET default_transaction_isolation = \'repeatable read\'');
$node->safe_psql('postgres', q{SELECT fm_train('a', seed => 96)});
ask($reader, list('a'));
like(cached(), qr/^a:3:true/, 'it, too, loads the new version for all');

# In parallel mode, which does not allow a newer snapshot. The function runs in the leader.
my $parallel = q{SET parallel_setup_cost = 0; SET parallel_tuple_cost = 0; SET min_parallel_table_scan_size = 0;
SET max_parallel_workers_per_gather = 2;};
my $join = q{SELECT count(t.item_id) FROM (SELECT DISTINCT user_id FROM ratings OFFSET 0) u, fm_top_x(u.user_id, 3, 'b') t};
like($node->safe_psql('postgres', "$parallel EXPLAIN $join"), qr/Gather/, 'a parallel plan');
is($node->safe_psql('postgres', "$parallel $join"), '150', 'loaded in parallel mode');
like(cached(), qr/b:1:true/, 'for all');

# Eviction by size: the least recently used version is evicted.
$node->safe_psql('postgres', "SELECT fm_drop('$_')") for qw(words uuids days);
is(cached(), 'a:3:true b:1:true', 'what is dropped is not cached');
my $size = $node->safe_psql('postgres', q{SELECT max(size) / 1024 FROM fm_cache});
set_cache_size(int($size * 2.5) . 'kB');
my $a = ask($sessions[0], list('a'));
my $b = ask($sessions[0], list('b'));
my $c = ask($sessions[0], list('c'));
is(cached(), 'b:1:true c:1:true', 'the third has taken the place of the first');
is(ask($sessions[0], list('b')), $b, 'the second is used');
is(ask($sessions[1], list('a')), $a, 'the first by another connection');
is(cached(), 'a:3:true b:1:true', 'the third had to go');
is(ask($sessions[0], list('c')), $c, 'and comes again');
is(ask($sessions[2], list('a')), $a, 'and so on');

# A version that is too large is loaded into own memory, with a warning once.
set_cache_size(int($size / 2) . 'kB');
my $said = ask($sessions[3], list('a'));
like($said, qr/^\Q$a\E.*WARNING:  a model of \d+ kB is loaded into this connection's own memory: it is larger than fmtopx.cache_size\n.*HINT: /s,
	'too large for the cache: said, and served');
is(ask($sessions[3], list('a')), $a, 'said once');
is(ask($sessions[3], $cached), 'a:3:false', 'in own memory');
is(cached(), '', 'no other connection has it');
set_cache_size('0');
is(ask($sessions[3], list('a')), $a, 'not shared at all: served');
is(ask($sessions[4], list('a')), $a, 'without a word');
is(cached(), '', 'nothing is shared');
set_cache_size('100MB');
is(ask($sessions[3], list('a')), $a, 'shared again');
is(ask($sessions[3], $cached), 'a:3:true', 'when there is room');

# fm_cache shows models that the role may read, and all to members of pg_read_all_stats.
is($node->safe_psql('postgres', 'SELECT count(*) FROM fm_cache', extra_params => [ '-U', 'reader' ]), '0', 'a stranger sees nothing');
is($node->safe_psql('postgres', 'SELECT count(*) FROM fm_cache_rows()', extra_params => [ '-U', 'reader' ]), '0', 'nor behind the view');
$node->safe_psql('postgres', 'GRANT SELECT ON fm_a_version, fm_a_user, fm_a_item, fm_a_matrix TO reader');
is($node->safe_psql('postgres', 'SELECT model FROM fm_cache', extra_params => [ '-U', 'reader' ]), 'a', 'who may read a model sees it');

# Databases that are copies of each other, down to the OIDs.
$_->quit for @sessions, $trainer, $early, $late, $reader;
$node->safe_psql('postgres', 'SELECT pg_sleep(0.1)');
$node->safe_psql('template1', 'CREATE DATABASE twin TEMPLATE postgres');
$node->safe_psql('twin', q{SELECT fm_train('a', seed => 1234)});
my $twin = $node->safe_psql('twin', list('a'));
isnt($twin, $a, 'another version in the copy of a database');
is($node->safe_psql('postgres', list('a')), $a, 'the first database has its own');
is($node->safe_psql('twin', list('a')), $twin, 'as has the copy');
is($node->safe_psql('twin', list('b')), $b, 'what is the same in both is cached for each');
is($node->safe_psql('postgres', q{SELECT string_agg(database || ':' || coalesce(model, '') , ' ' ORDER BY database, model) FROM fm_cache}),
	'postgres:a twin: twin:', 'both, in one database\'s view');
is($node->safe_psql('postgres', 'SELECT count(*) FROM fm_cache', extra_params => [ '-U', 'reader' ]), '1', 'a reader sees one');
$node->safe_psql('postgres', 'DROP DATABASE twin');
$node->safe_psql('postgres', list('b'));
is($node->safe_psql('postgres', 'SELECT count(*) FROM fm_cache'), '2', 'of a database dropped nothing is left at the next load');

# Tables that are dropped by hand.
$node->safe_psql('postgres', 'DROP TABLE fm_b_matrix');
$node->safe_psql('postgres', list('c'));
is(cached(), 'a:3:true c:1:true', 'of a table dropped nothing is left at the next load');

# If a connection ends while it loads, the next one loads. The load is slow because of a function that the
# owner has planted.
$node->safe_psql('postgres', q{
CREATE FUNCTION slow(integer) RETURNS boolean LANGUAGE plpgsql AS $$
	BEGIN PERFORM pg_sleep(0.001) WHERE $1 % 10 = 0; RETURN true; END $$;
ALTER TABLE fm_c_item RENAME TO items;
CREATE VIEW fm_c_item AS SELECT * FROM items WHERE slow(idx);
UPDATE fm_model SET item_table = 'fm_c_item', stamp = stamp + 1 WHERE model = 'c';
});
for my $how (qw(pg_terminate_backend pg_cancel_backend))
{
	my ($out, $err) = ('', '');
	my @loads = map {
		IPC::Run::start([ 'psql', '-XAtq', '-d', $node->connstr('postgres'), '-c', "SET application_name = 'loader'; " . list('c') ],
			'>' => \$out, '2>' => \$err)
	} 1 .. 3;
	$node->poll_query_until('postgres',
		q{SELECT count(*) = 2 FROM pg_stat_activity WHERE application_name = 'loader' AND wait_event_type = 'Lock'})
	  or die 'no two wait for the third';
	pass("$how: one loads, two wait");
	$node->safe_psql('postgres', "SELECT $how(pid) FROM pg_stat_activity WHERE application_name = 'loader' AND wait_event_type IS DISTINCT FROM 'Lock'");
	$_->finish for @loads;
	like($err, qr/terminating connection|canceling statement/, "$how: the one that loads is ended");
	is(() = $out =~ /^\Q$c\E$/mg, 2, "$how: the two others are served");
	like(cached(), qr/c:1:true/, "$how: for all");
	is($node->safe_psql('postgres', 'SELECT sum(in_use) FROM fm_cache'), '0', "$how: nothing is in use");
	$node->safe_psql('postgres', q{UPDATE fm_model SET stamp = stamp + 1 WHERE model = 'c'});
}
# Connections that end at any time.
for my $delay (1 .. 12)
{
	$node->safe_psql('postgres', q{UPDATE fm_model SET stamp = stamp + 1 WHERE model IN ('a', 'c')});
	my $long = session();
	my $pid = $long->query_safe('SELECT pg_backend_pid()');
	$long->{stdin} .= list($delay % 2 ? 'a' : 'c') . ";\n";
	$long->{run}->pump_nb;
	usleep($delay * 3000);
	$node->safe_psql('postgres', "SELECT pg_terminate_backend($pid)");
	$node->poll_query_until('postgres', "SELECT count(*) = 0 FROM pg_stat_activity WHERE pid = $pid");
	eval { $long->{run}->finish };
}
is($node->safe_psql('postgres', list($_)), $_ eq 'a' ? $a : $c, "connections killed at any moment: $_ is served") for qw(a c);
is(cached(), 'a:3:true c:1:true', 'from shared memory');
is($node->safe_psql('postgres', 'SELECT sum(in_use) FROM fm_cache'), '0', 'nothing is in use');
is($node->safe_psql('postgres', "SELECT count(*) FROM pg_locks WHERE locktype = 'advisory'"), '0', 'no lock is left');

# A crash, and an immediate shutdown.
my $victim = session();
ask($victim, list('a'));
my $pid = $victim->query_safe('SELECT pg_backend_pid()');
kill 'KILL', $pid;
eval { $victim->{run}->finish };
$node->poll_query_until('postgres', 'SELECT 1', '1');
is(cached(), '', 'after a crash the cache is empty');
is($node->safe_psql('postgres', list('a')), $a, 'and fills again');
$node->stop('immediate');
$node->start;
is($node->safe_psql('postgres', list('a')), $a, 'after an immediate stop, too');

# A standby has shared memory of its own, gets new versions, and keeps serving when it is promoted.
$node->backup('backup');
my $standby = PostgreSQL::Test::Cluster->new('cache_standby');
$standby->init_from_backup($node, 'backup', has_streaming => 1);
$standby->start;
is($standby->safe_psql('postgres', list('a')), $a, 'a standby serves') for 1 .. 2;
is($standby->safe_psql('postgres', 'SELECT model, version, shared, hits FROM fm_cache'), 'a|3|t|2', 'from shared memory');
$node->safe_psql('postgres', q{SELECT fm_train('a', seed => 44)});
$node->wait_for_catchup($standby);
my $new = $node->safe_psql('postgres', list('a'));
is($standby->safe_psql('postgres', list('a')), $new, 'a new version arrives');
is($standby->safe_psql('postgres', 'SELECT version, hits FROM fm_cache'), '4|1', 'in the place of the old one');
$standby->promote;
is($standby->safe_psql('postgres', list('a')), $new, 'promoted, it serves on');
$standby->safe_psql('postgres', q{SELECT fm_train('a', seed => 45)});
$node->safe_psql('postgres', q{SELECT fm_train('a', seed => 46)});
isnt($standby->safe_psql('postgres', list('a')), $new, 'and trains');
is($standby->safe_psql('postgres', 'SELECT version, shared FROM fm_cache'), '5|t', 'and shares what it has trained');
$standby->stop;

# The system has no shared memory: its directory is not writable.
$node->append_conf('postgresql.conf', 'dynamic_shared_memory_type = mmap');
$node->restart;
chmod 0500, $node->data_dir . '/pg_dynshmem';
my $short = session();
like(ask($short, list('a')), qr/^\d+:.*WARNING:  a model of \d+ kB is loaded into this connection's own memory: could not .*HINT: /s,
	'no shared memory: said, and served');
unlike(ask($short, list('a')), qr/WARNING/, 'said once');
is(ask($short, $cached), 'a:5:false', 'from own memory');
$short->quit;
chmod 0700, $node->data_dir . '/pg_dynshmem';

# Locks have taken all main shared memory, so that there is none for the directory.
SKIP:
{
	skip('from PostgreSQL 17 on the directory is a segment', 3) if $node->pg_version >= 17;
	$node->append_conf('postgresql.conf', "max_locks_per_transaction = 10\nmax_connections = 10");
	$node->restart;
	my ($status, $out, $err) = $node->psql('postgres', 'SELECT pg_advisory_lock(i) FROM generate_series(1, 1000000) i');
	like($err, qr/out of shared memory/, 'all shared memory is taken');
	my ($status2, $out2, $err2) = $node->psql('postgres', list('a') . ';' . list('a'));
	like($out2, qr/^(\d+:.*)\n\1$/, 'no directory: served');
	is(() = $err2 =~ /WARNING:  a model of \d+ kB is loaded into this connection's own memory/g, 1, 'and said once');
}

$node->stop;
done_testing();
