# Several sessions: snapshots, commits, drops, names and privileges that change while connections use a model;
# first trainings that collide; and interrupts outside of the iterations.
use strict;
use warnings;
use Test::More;
use FindBin;
use lib $FindBin::Bin;
use NeedCluster qw(BackgroundPsql);

my $node = PostgreSQL::Test::Cluster->new('sessions');
$node->init(allows_streaming => 1);
$node->append_conf('postgresql.conf', "fsync = off\nautovacuum = off\n");
$node->start;
$node->safe_psql(
	'postgres', q{
CREATE EXTENSION fmtopx;
CREATE ROLE owner LOGIN;
CREATE ROLE heir LOGIN;
CREATE ROLE reader LOGIN;
CREATE SCHEMA shop AUTHORIZATION owner;
GRANT ALL ON SCHEMA shop TO PUBLIC;
CREATE TABLE shop.ratings AS
SELECT u AS user_id, i AS item_id, (3 + sin(u) + cos(i) + sin(u * 0.7) * cos(i * 1.3))::real AS rating
FROM generate_series(1, 100) u, generate_series(1, 60) i WHERE hashint8extended(u * 1000 + i, 1) % 3 = 0;
ALTER TABLE shop.ratings OWNER TO owner;
ALTER ROLE ALL SET search_path = shop, public;
});

sub as
{
	my ($role, $sql) = @_;
	my ($status, $out, $err) = $node->psql('postgres', $sql, extra_params => [ '-U', $role ]);
	return $status == 0 ? $out : $err;
}

sub session
{
	my ($role) = @_;
	return $node->background_psql('postgres', on_error_stop => 0, extra_params => [ '-U', $role ]);
}

# Return the rows of a query, or its error.
sub ask
{
	my ($session, $sql) = @_;
	my $rows = $session->query($sql);
	chomp $rows; # the first minor versions of 16 leave the newline
	my $error = $session->{stderr};
	$session->{stderr} = '';
	$error =~ s/^.*background_psql: QUERY_SEPARATOR.*$//mg;
	return $error =~ /ERROR|FATAL/ ? $error : $rows;
}

as('owner', q{
SELECT fm_train('m', 'shop.ratings', num_factors => 4, iterations => 10);
GRANT SELECT ON fm_m_version, fm_m_user, fm_m_item, fm_m_matrix TO reader;
});
my $list = q{SELECT string_agg(item_id || ':' || score, ' ' ORDER BY rank) FROM fm_top_x(7, 10, 'm')};

# Snapshots. A reader that began before three retrains, which deleted its version, still reads it.
my $old = session('reader');
my $committed = session('reader');
my $first = ask($old, "BEGIN ISOLATION LEVEL REPEATABLE READ; $list;");
like($first, qr/^\d+:/, 'a list');
is(ask($committed, $list), $first, 'the same for another reader');
as('owner', "SELECT fm_train('m', seed => $_)") for 1 .. 3;
my $now = as('owner', $list);
isnt($now, $first, 'the retrained model gives another list');
is(ask($old, $list), $first, 'an old snapshot sees the old version, though its rows have been deleted');
is(ask($committed, $list), $now, 'others see the new one');
is(ask($old, "COMMIT; $list;"), $now, 'the old reader sees the new version in its next transaction');
my $fresh = session('reader');
is(ask($fresh, "BEGIN ISOLATION LEVEL REPEATABLE READ; SELECT count(*) FROM fm_models;"), '1', 'a snapshot of a session');
as('owner', "SELECT fm_train('m', seed => $_)") for 4 .. 6;
is(ask($fresh, $list), $now, 'the session loads the old version only now');
ask($fresh, 'COMMIT');
$fresh->quit;

# LISTEN receives a notification for each version that is served from then on, and none for one that was
# rolled back.
is(as('owner', q{LISTEN fmtopx; SELECT version FROM fm_train('m', seed => 6); SELECT fm_activate('m', 7);
	BEGIN; SELECT fm_activate('m', 8) \g /dev/null
	ROLLBACK; SELECT fm_activate('m', 8)}) =~ s/with payload|received from server process with PID \d+\.//gr,
	qq{8\nAsynchronous notification "fmtopx"  "{"model": "m", "version": 8}" \n\nAsynchronous notification "fmtopx"  "{"model": "m", "version": 7}" \n\nAsynchronous notification "fmtopx"  "{"model": "m", "version": 8}" },
	'a session that listens');

# Ratings of other transactions count as soon as they are committed, and not before.
my $best = q{SELECT item_id FROM fm_top_x(7, 1, 'm')};
my $item = ask($committed, $best);
my $rater = session('owner');
ask($rater, "BEGIN; INSERT INTO ratings VALUES (7, $item, 5);");
isnt(ask($rater, $best), $item, 'the transaction that has rated an item sees that at once');
is(ask($committed, $best), $item, 'others do not see it yet');
ask($rater, 'COMMIT');
isnt(ask($committed, $best), $item, 'others see it after the commit');
ask($rater, "DELETE FROM ratings WHERE (user_id, item_id) = (7, $item)");
is(ask($committed, $best), $item, 'after its rating is deleted, it is recommended again');

# A training in a transaction is visible to that transaction only, and at its end to all or none.
$now = ask($committed, $list);
ask($rater, "BEGIN; SELECT version FROM fm_train('m', seed => 77);");
my $inside = ask($rater, $list);
isnt($inside, $now, 'the transaction sees its version');
is(ask($committed, $list), $now, 'others see the last committed version');
ask($rater, 'ROLLBACK');
is(ask($rater, $list), $now, 'after a rollback the version is forgotten');
ask($rater, "BEGIN; SELECT version FROM fm_train('m', seed => 78);");
$inside = ask($rater, $list);
ask($rater, 'COMMIT');
is(ask($committed, $list), $inside, 'committed, it is everybody\'s');

# Names change while connections know the model.
$now = $inside;
as('owner', 'ALTER TABLE ratings RENAME TO opinions');
is(ask($committed, $list), $now, 'the ratings relation is renamed by another session');
as('owner', 'ALTER TABLE opinions RENAME TO ratings; ALTER TABLE fm_m_user RENAME TO users_of_m; CREATE TABLE fm_m_user ()');
is(ask($committed, $list), $now, 'a table of the model is renamed by another session');
as('owner', 'DROP TABLE fm_m_user; ALTER TABLE users_of_m RENAME TO fm_m_user');
$node->safe_psql('postgres', 'ALTER SCHEMA shop RENAME TO store');
ask($committed, 'SET search_path = public');
is(ask($committed, $list), $now, 'the schema is renamed by another session');
$node->safe_psql('postgres', 'ALTER SCHEMA store RENAME TO shop');
ask($committed, 'RESET search_path');

# Privileges change: they are checked in every call.
as('owner', 'REVOKE SELECT ON fm_m_item FROM reader');
like(ask($committed, $list), qr/permission denied for table fm_m_item/, 'a revoked privilege takes effect at once');
is(ask($committed, q{SELECT count(*) FROM fm_top_x(7, 10, 'm')}) =~ /permission denied/, 1, 'a revoked privilege takes effect in later calls');
as('owner', 'GRANT SELECT ON fm_m_item TO reader');
is(ask($committed, $list), $now, 'after it is granted again, the model is served');

# The model gets another owner, with its tables and ratings.
$node->safe_psql('postgres', "ALTER TABLE shop.fm_m_$_ OWNER TO heir") for qw(version user item matrix);
like(ask($committed, $list), qr/permission denied for table ratings/, 'the new owner must be able to read the ratings');
$node->safe_psql('postgres', 'ALTER TABLE shop.ratings OWNER TO heir');
is(ask($committed, $list), $now, 'the model is served when the new owner can read the ratings');
like(as('owner', q{SELECT fm_train('m')}), qr/must be owner of model "m"/, 'its former owner may not retrain it');
like(as('owner', q{SELECT fm_drop('m')}), qr/must be owner of model "m"/, 'the former owner may not drop the model');
like(as('heir', q{SELECT status FROM fm_train('m', seed => 5)}), qr/^succeeded$/, 'the new owner may retrain it');
is(as('heir', q{SELECT owner FROM fm_models}), 'heir', 'fm_models shows the new owner');
$now = ask($committed, $list);
like($now, qr/^\d+:/, 'a reader keeps its rights');

# fm_evaluate reads the relation of the call as the caller, and the model's relations as its owner.
as('reader', q{CREATE TABLE mine AS SELECT 1 AS user_id, 2 AS item_id, 3::real AS rating UNION ALL SELECT 2, 3, 5});
is(as('reader', q{SELECT count(*) FROM fm_evaluate('mine', 'm')}), '8', 'a reader evaluates on its own table, which the owner may not read');
like(as('reader', q{SELECT fm_evaluate('ratings', 'm')}), qr/permission denied for table ratings/, 'not on the ratings, which it may not read');
like(as('heir', q{SELECT fm_evaluate('mine', 'm')}), qr/permission denied for table mine/, 'nor the owner on the reader\'s table');

# First trainings that collide: one complete model, and a clear error for the other.
ask($rater, q{BEGIN; CREATE TABLE own AS SELECT * FROM generate_series(1, 9) user_id, generate_series(1, 9) item_id, LATERAL (SELECT (user_id * item_id % 5)::real AS rating) r; SELECT version FROM fm_train('c', 'own', num_factors => 2, iterations => 5);});
like(as('heir', q{SET lock_timeout = 300; SELECT fm_train('c', 'shop.ratings', num_factors => 2, iterations => 5)}),
	qr/lock timeout/, 'a first training of the same name waits');
my ($out, $err) = ('', '');
my $second = IPC::Run::start([ 'psql', '-XAtq', '-U', 'heir', '-d', $node->connstr('postgres'), '-c',
	q{SELECT version FROM fm_train('c', 'shop.ratings', num_factors => 2, iterations => 5)} ], '>' => \$out, '2>' => \$err);
$node->poll_query_until('postgres', q{SELECT count(*) = 1 FROM pg_stat_activity WHERE usename = 'heir' AND wait_event_type = 'Lock'});
ask($rater, 'COMMIT');
$second->finish;
like($err, qr/must be owner of model "c"/, 'and then finds it is another\'s');
is($node->safe_psql('postgres', q{SELECT owner, active_version FROM fm_models WHERE model = 'c'}), 'owner|1', 'the first owner keeps the model');
is($node->safe_psql('postgres', q{SELECT count(*) FROM pg_class WHERE relname LIKE 'fm\_c\_%' AND relkind = 'r'}), '4', 'there is one set of tables');

# A model that is dropped while a training waits for it is defined again, or does not exist.
ask($rater, q{BEGIN; SELECT fm_drop('c');});
is(as('owner', q{SET lock_timeout = 300; SELECT count(*) FROM fm_models WHERE model = 'c'}), '1', 'a drop is not seen before its end');
($out, $err) = ('', '');
$second = IPC::Run::start([ 'psql', '-XAtq', '-U', 'owner', '-d', $node->connstr('postgres'), '-c',
	q{SELECT fm_train('c')} ], '>' => \$out, '2>' => \$err);
$node->poll_query_until('postgres', q{SELECT count(*) = 1 FROM pg_stat_activity WHERE usename = 'owner' AND wait_event_type = 'Lock'});
ask($rater, 'COMMIT');
$second->finish;
like($err, qr/model "c" does not exist/, 'a training that waited for a drop has a clear error');
is($node->safe_psql('postgres', q{SELECT count(*) FROM pg_class WHERE relname LIKE 'fm\_c\_%'}), '0', 'a training that waited for a drop leaves nothing');

# Interrupts while the ratings are read and while the lists are written. Neither takes long.
as('heir', q{
CREATE FUNCTION slow() RETURNS boolean LANGUAGE plpgsql AS $f$ BEGIN PERFORM pg_sleep(0.01); RETURN true; END $f$;
CREATE VIEW slow_ratings AS SELECT * FROM ratings WHERE slow();
CREATE FUNCTION slow_row() RETURNS trigger LANGUAGE plpgsql AS $f$ BEGIN PERFORM pg_sleep(0.05); RETURN new; END $f$;
});
my $before = $node->safe_psql('postgres', $list);
like(as('heir', q{SET statement_timeout = 300; SELECT fm_train('m', 'slow_ratings')}), qr/statement timeout/, 'interrupted while reading');
is($node->safe_psql('postgres', $list), $before, 'the old version serves');
as('heir', q{CREATE TRIGGER slow BEFORE INSERT ON fm_m_item FOR EACH ROW EXECUTE FUNCTION slow_row()});
like(as('heir', q{SET statement_timeout = 1000; SELECT fm_train('m')}), qr/statement timeout/, 'interrupted while writing the version');
as('heir', q{DROP TRIGGER slow ON fm_m_item});
is($node->safe_psql('postgres', $list), $before, 'the old version serves');
is($node->safe_psql('postgres', q{SELECT count(DISTINCT version) FROM shop.fm_m_user}), '2', 'there are no rows of another version');
as('heir', q{SELECT fm_write_top_x('lists', 3, 'm'); CREATE TRIGGER slow BEFORE UPDATE ON lists FOR EACH ROW EXECUTE FUNCTION slow_row(); UPDATE ratings SET rating = 6 - rating});
my $lists = q{SELECT md5(string_agg(t::text, ' ' ORDER BY user_id, rank)) FROM shop.lists t};
my $written = $node->safe_psql('postgres', $lists);
like(as('heir', q{SET statement_timeout = 1000; CALL fm_refresh('m')}), qr/statement timeout/, 'a refresh interrupted while writing lists');
is($node->safe_psql('postgres', $lists), $written, 'an interrupted rewrite leaves the lists as they were');
is($node->safe_psql('postgres', q{SELECT status FROM fm_runs WHERE model = 'm' ORDER BY version DESC LIMIT 1}), 'succeeded', 'an interrupted rewrite leaves the version published');
as('heir', q{DROP TRIGGER slow ON lists; CALL fm_refresh('m')});
is($node->safe_psql('postgres', q{SELECT count(*) FROM ((SELECT user_id::text, rank, item_id::text, score, rating FROM shop.lists
	EXCEPT ALL SELECT * FROM fm_top_x_all(3, 'm'))) d}), '0', 'the next refresh brings them up to date');

# A rewrite waits for another one of the same table, and then replaces its lists.
as('heir', q{UPDATE lists SET score = 0 WHERE user_id = 3});
my $writer = session('heir');
ask($writer, q{BEGIN; UPDATE lists SET score = -1 WHERE user_id = 3 AND rank = 1});
my ($written_out, $written_err) = ('', '');
my $rewrite = IPC::Run::start([ 'psql', '-XAtq', '-U', 'heir', '-d', $node->connstr('postgres'), '-c', q{SELECT fm_write_top_x('lists', 3, 'm')} ],
	'>' => \$written_out, '2>' => \$written_err);
$node->poll_query_until('postgres', q{SELECT count(*) = 1 FROM pg_stat_activity WHERE query LIKE '%fm_write_top_x%' AND wait_event_type = 'Lock'}) or die $written_err;
is($node->safe_psql('postgres', q{SELECT count(*) FROM shop.lists WHERE user_id = 3 AND score = 0}), '3', 'readers still read the old rows');
ask($writer, 'COMMIT');
$writer->quit;
$rewrite->finish;
is($written_err, '', 'a rewrite beside another writer');
is($node->safe_psql('postgres', q{SELECT count(*) FROM ((SELECT user_id::text, rank, item_id::text, score, rating FROM shop.lists
	EXCEPT ALL SELECT * FROM fm_top_x_all(3, 'm'))) d}), '0', 'has the last word');
like(as('heir', q{CREATE TRIGGER slow BEFORE UPDATE ON lists FOR EACH ROW EXECUTE FUNCTION slow_row();
	UPDATE lists SET score = 0; SET statement_timeout = 1000; SELECT fm_write_top_x('lists', 3, 'm')}), qr/statement timeout/, 'a rewrite is cancelled');
is($node->safe_psql('postgres', q{SELECT count(DISTINCT score) FROM shop.lists}), '1', 'an interrupted rewrite leaves the old rows');
as('heir', q{DROP TRIGGER slow ON lists; SELECT fm_write_top_x('lists', 3, 'm')});

# The run of a refresh whose backend has ended does not stay running.
$node->safe_psql('postgres', q{UPDATE fm_model SET iterations = 100000 WHERE model = 'm'});
($out, $err) = ('', '');
my $long = IPC::Run::start([ 'psql', '-XAtq', '-U', 'heir', '-d', $node->connstr('postgres'), '-c', q{CALL fm_refresh('m')} ],
	'>' => \$out, '2>' => \$err);
$node->poll_query_until('postgres', q{SELECT iteration > 0 FROM fm_progress}) or die $err;
$node->safe_psql('postgres', q{SELECT pg_terminate_backend(pid) FROM fm_progress});
$long->finish;
$node->safe_psql('postgres', q{UPDATE fm_model SET iterations = 10 WHERE model = 'm'});
is(as('heir', q{CALL fm_refresh('m')}), '', 'a refresh after one that was killed');
is($node->safe_psql('postgres', q{SELECT string_agg(DISTINCT status, ' ') FROM fm_runs WHERE model = 'm'}), 'failed succeeded',
	'the killed one is not said to be running any more');

# A training with a snapshot that is older than the last version.
my $frozen = session('heir');
ask($frozen, q{BEGIN ISOLATION LEVEL REPEATABLE READ; SELECT count(*) FROM ratings;});
as('heir', q{SELECT fm_train('m')});
like(ask($frozen, q{SELECT fm_train('m')}), qr/could not serialize access/, 'a training with an old snapshot gets an error to try again');
ask($frozen, 'ROLLBACK');
$frozen->quit;

# A standby serves, and its error says that it cannot train.
$node->backup('backup');
my $standby = PostgreSQL::Test::Cluster->new('sessions_standby');
$standby->init_from_backup($node, 'backup', has_streaming => 1);
$standby->start;
is($standby->safe_psql('postgres', $list), $node->safe_psql('postgres', $list), 'a standby gives the same list');
my ($status, $o, $e) = $standby->psql('postgres', q{SELECT fm_train('m')});
like($e, qr/read-only transaction|recovery/, 'a standby does not train');
($status, $o, $e) = $standby->psql('postgres', q{CALL fm_refresh('m')});
like($e, qr/read-only transaction|recovery/, 'a standby does not refresh');
my $there = $standby->background_psql('postgres', on_error_stop => 0);
$now = ask($there, $list);
$node->safe_psql('postgres', q{SELECT fm_train('m', seed => 1234)});
$node->wait_for_catchup($standby);
isnt(ask($there, $list), $now, 'a new version arrives at the standby');
is(ask($there, $list), $node->safe_psql('postgres', $list), 'the standby has the same new version');
$there->quit;
$standby->stop;

$_->quit for $old, $committed, $rater;
$node->stop;
done_testing();
