# What is read may be anything: tables that their owner has tampered with, other people's triggers, types and settings,
# relations that are not plain. The server lives, lists are right or refused, and a message names what is wrong.
use strict;
use warnings;
use Test::More;
use Time::HiRes qw(time usleep);
use FindBin;
use lib $FindBin::Bin;
use NeedCluster 'BackgroundPsql';

my $node = PostgreSQL::Test::Cluster->new('trust');
$node->init;
$node->append_conf('postgresql.conf', "fsync = off\nautovacuum = off\nrestart_after_crash = on\nlog_statement = none\n");
$node->start;
$node->safe_psql(
	'postgres', q{
CREATE ROLE owner LOGIN; CREATE ROLE reader LOGIN; CREATE ROLE other LOGIN;
GRANT ALL ON SCHEMA public TO PUBLIC;
CREATE EXTENSION fmtopx;
CREATE TABLE ratings AS SELECT u AS user_id, i AS item_id, (1 + (u * i) % 5)::real AS rating
FROM generate_series(1, 1500) u, generate_series(1, 40) i WHERE (u * 7 + i * 13) % 4 = 0;
GRANT SELECT ON ratings TO PUBLIC;
CREATE TABLE small AS SELECT * FROM ratings WHERE user_id <= 60;
GRANT SELECT ON small TO PUBLIC;
});

# The output, or what is said if it fails.
sub answer
{
	my ($sql, $role) = @_;
	my ($status, $out, $error) = $node->psql('postgres', $sql, on_error_stop => 1,
		extra_params => [ '-v', 'VERBOSITY=verbose', ($role ? ('-U', $role) : ()) ], timeout => 120);
	return $status == 0 ? $out : $error;
}

my $crashes = 0;

# Wait until the server is back, if it is not there; whether it never was away.
sub lives
{
	my ($what) = @_;
	for (1 .. 100)
	{
		last if $node->psql('postgres', 'SELECT 1') == 0;
		usleep(100_000);
	}
	my $log = PostgreSQL::Test::Utils::slurp_file($node->logfile);
	my $now = () = $log =~ /was terminated by signal/g;
	is($now, $crashes, "$what: the server lives");
	$crashes = $now;
	return;
}

my $seen = 'SELECT count(*) FROM %s JOIN ratings USING (user_id, item_id)';

subtest('1. numbers from tables are bounded' => sub {
	answer(q{SELECT status FROM fm_train('m1', 'ratings', num_factors => 4, iterations => 3, workers => 0)});
	my $write = q{SET min_parallel_table_scan_size = 0; SELECT fm_write_top_x('l1', 5, 'm1')};
	answer($write);
	answer(q{ALTER TABLE fm_m1_user ALTER version TYPE numeric; UPDATE fm_m1_user SET idx = 2000000000 WHERE idx = 1499; SELECT txid_current()});
	answer($write) for 1 .. 2;
	lives('an idx out of range');

	# A version that is another at each reading.
	answer(q{SELECT status FROM fm_train('m1b', 'ratings', num_factors => 4, iterations => 3, workers => 0);
CREATE TYPE moody AS (version integer, idx integer);
CREATE SEQUENCE calls;
CREATE FUNCTION moody(moody) RETURNS integer LANGUAGE plpgsql AS
	'BEGIN RETURN CASE WHEN $1.idx < 200 OR nextval(''public.calls'') > 1301 THEN $1.version ELSE 0 END; END';
CREATE CAST (moody AS integer) WITH FUNCTION moody AS IMPLICIT;
ALTER TABLE fm_m1b_user DROP CONSTRAINT fm_m1b_user_pkey;
ALTER TABLE fm_m1b_user ALTER version TYPE moody USING ROW(version, idx)::moody;
SELECT setval('calls', 1)});
	answer(q{SET max_parallel_maintenance_workers = 0; SELECT count(*) FROM fm_top_x_all(5, 'm1b')});
	lives('a table that is another at the second reading');
	answer(q{SET max_parallel_maintenance_workers = 0; SELECT setval('calls', 1); SELECT fm_write_top_x('l1b', 5, 'm1b')});
	lives('the same written');
	answer(q{SELECT fm_drop(model) FROM fm_models WHERE model = 'm1'; SELECT fm_drop(model) FROM fm_models WHERE model = 'm1b'; DROP TYPE moody CASCADE; DROP TABLE IF EXISTS l1, l1b});
});

subtest('2. what is read without a query has the types that are assumed' => sub {
	answer(q{SELECT status FROM fm_train('m2', 'ratings', num_factors => 4, iterations => 3, workers => 0);
		ALTER TABLE fm_m2_user ALTER version TYPE numeric});
	for (1 .. 2)
	{
		unlike(answer(q{SET min_parallel_table_scan_size = 0; SELECT fm_write_top_x('l2', 5, 'm2')}), qr/XX000/, 'written or refused');
		is(answer(sprintf($seen, 'l2')) =~ s/.*does not exist.*/0/sr, '0', 'nothing that has been rated is listed');
	}
	answer(q{SELECT fm_drop(model) FROM fm_models WHERE model = 'm2'; DROP TABLE IF EXISTS l2});
});

subtest('3. estimates for what is not plain' => sub {
	answer(q{CREATE TABLE parted (LIKE ratings) PARTITION BY HASH (user_id); CREATE TABLE part0 PARTITION OF parted FOR VALUES WITH (MODULUS 1, REMAINDER 0);
		INSERT INTO parted TABLE small; SELECT status FROM fm_train('m3', 'parted', num_factors => 2, iterations => 2); INSERT INTO parted SELECT 1, 100 + g, 3 FROM generate_series(1, 50) g});
	answer('ANALYZE parted'); # a session of its own: that of the INSERT would add its rows at its end once more
	is(answer(q{SELECT pg_stat_force_next_flush(); SELECT ratings_since FROM fm_health WHERE model = 'm3'}), "\n50", 'ratings_since of a partitioned table');
	answer(q{SELECT fm_drop(model) FROM fm_models WHERE model = 'm3'; DROP TABLE parted});
});

subtest('4. a message is no cancel' => sub {
	answer(q{CREATE TABLE r4 AS TABLE small; SELECT status FROM fm_train('m4', 'r4', num_factors => 2, iterations => 2); SELECT fm_grant('m4', 'reader');
		GRANT SELECT ON r4 TO reader; SELECT fm_write_top_x('a4', 5, 'm4'); SELECT fm_write_top_x('z4', 5, 'm4')}, 'owner');
	answer(q{SELECT fm_write_top_x('k4', 5, 'm4');
		CREATE FUNCTION pretend() RETURNS trigger LANGUAGE plpgsql AS $$BEGIN RAISE 'canceling statement due to user request' USING ERRCODE = 'query_canceled'; END$$;
		CREATE TRIGGER pretend BEFORE INSERT OR UPDATE OR DELETE ON k4 FOR EACH STATEMENT EXECUTE FUNCTION pretend()}, 'reader');
	answer(q{SELECT fm_write_top_x('zz4', 5, 'm4'); UPDATE a4 SET score = -1; UPDATE z4 SET score = -1; UPDATE zz4 SET score = -1; UPDATE r4 SET rating = 6 - rating}, 'owner');
	unlike(answer(q{CALL fm_refresh('m4')}, 'owner'), qr/ERROR/, q{the refresh survives a reader's trigger});
	is(answer("SELECT count(*) FROM $_ WHERE score = -1"), '0', "and writes $_") for qw(a4 z4 zz4);
	is(answer(q{SELECT status FROM fm_runs WHERE model = 'm4' ORDER BY version DESC LIMIT 1}), 'succeeded', 'which has succeeded');
	answer(q{SELECT fm_drop(model) FROM fm_models WHERE model = 'm4'}, 'owner');
	answer(q{DROP TABLE a4, k4, z4, zz4, r4; DROP FUNCTION pretend CASCADE});
});

subtest(q{5. the vacuum worker has no search_path of the database's} => sub {
	$node->safe_psql('postgres', q{CREATE DATABASE paths});
	$node->safe_psql('paths', q{CREATE EXTENSION fmtopx; CREATE SCHEMA trap;
CREATE FUNCTION note(integer) RETURNS integer LANGUAGE plpgsql IMMUTABLE AS
	$$BEGIN RAISE LOG 'an index sees % in %', current_setting('search_path'), (SELECT backend_type FROM pg_stat_activity WHERE pid = pg_backend_pid()); RETURN $1; END$$;
CREATE TABLE ratings AS SELECT u AS user_id, i AS item_id, (u * i % 5)::real AS rating FROM generate_series(1, 500) u, generate_series(1, 20) i WHERE (u + i) % 3 = 0;
SELECT FROM fm_train('m5', 'ratings', num_factors => 2, iterations => 2);
SELECT fm_write_top_x('l5', 3, 'm5');
CREATE INDEX ON l5 USING brin (note(item_id)) WITH (pages_per_range = 1);
UPDATE l5 SET score = score + 1;
ALTER DATABASE paths SET search_path = trap, public;
});
	$node->safe_psql('paths', q{CALL fm_refresh('m5')});
	my $log = PostgreSQL::Test::Utils::slurp_file($node->logfile);
	unlike($log, qr/an index sees .*trap.* in fmtopx/, 'index expressions do not see it');
	$node->safe_psql('postgres', 'DROP DATABASE paths');
});

subtest('6. scores are finite, or refused' => sub {
	answer(q{CREATE TABLE huge AS SELECT user_id, item_id, CASE WHEN user_id * item_id % 3 = 0 THEN 3e38 ELSE -3e38 END::real AS rating FROM ratings WHERE user_id <= 200});
	my $trained = answer(q{SELECT status FROM fm_train('m6', 'huge', solver => 'als', num_factors => 2, iterations => 5)});
	if ($trained eq 'succeeded')
	{
		my $written = answer(q{SELECT fm_write_top_x('l6', 40, 'm6', exclude_seen => false)});
		is(answer(q{SELECT count(*) FROM l6 WHERE abs(score) = 'Infinity' OR score = 'NaN'}) =~ s/.*does not exist.*/0/sr, '0', 'no infinite score in a table of lists');
		is(answer(q{SELECT count(*) FROM fm_top_x_all(40, 'm6', false) WHERE abs(score) = 'Infinity' OR score = 'NaN'}) =~ s/.*22003.*/0/sr, '0', 'nor in all lists');
		is(answer(q{SELECT train_metrics ->> 'rmse' IN ('Infinity', 'NaN') FROM fm_runs WHERE model = 'm6'}), 'f', 'and what ends infinite has failed');
	}
	else { like($trained, qr/22003|22000|finite/, 'a training that ends infinite fails') }
	answer(q{SELECT fm_drop(model) FROM fm_models WHERE model = 'm6'; DROP TABLE IF EXISTS l6; SELECT status FROM fm_train('n6', 'small', num_factors => 2, iterations => 2)});
	answer(q{UPDATE fm_n6_user SET w = 'NaN' WHERE user_id = 5});
	my $refused = answer(q{SELECT * FROM fm_top_x(5, 3, 'n6')});
	like($refused, qr/ERROR:  (XX001|22003)/, 'a user whose numbers are none is refused');
	for my $call (q{SELECT fm_write_top_x('k6', 3, 'n6')}, q{SELECT count(*) FROM fm_top_x_all(3, 'n6')}, q{SELECT count(*) FROM fm_top_users(3, 60, 'n6')},
		q{SELECT fm_predict(5, 3, 'n6')})
	{
		like(answer($call), qr/ERROR:  (XX001|22003)/, "by $call, too");
	}
	answer(q{SELECT status FROM fm_train('n6'); UPDATE fm_n6_version SET b = 1e308});    # of which nothing is in the cache
	like(answer($_), qr/ERROR:  (XX001|22003)/, "a bias that no real holds: $_") for q{SELECT * FROM fm_top_x(5, 3, 'n6')}, q{SELECT fm_write_top_x('k6', 3, 'n6')}, q{SELECT count(*) FROM fm_top_x_all(3, 'n6')};
	answer(q{SELECT fm_drop(model) FROM fm_models WHERE model = 'n6'; DROP TABLE IF EXISTS k6, huge});
});

subtest('7. messages that name the thing' => sub {
	answer(q{CREATE DOMAIN price AS integer CHECK (VALUE < 1000); CREATE TABLE domains AS SELECT user_id::price AS user_id, item_id::price AS item_id, rating FROM small;
		SELECT status FROM fm_train('m7', 'domains', num_factors => 2, iterations => 2); SELECT fm_grant('m7', 'reader')}, 'owner');
	answer(q{SELECT fm_write_top_x('l7', 3, 'm7')}, 'reader');
	is(answer(q{SELECT string_agg(atttypid::regtype::text, ' ' ORDER BY attnum) FROM pg_attribute WHERE attrelid = 'l7'::regclass AND attnum > 0}), 'integer integer integer real real',
		q{a reader's table has base types});
	answer(q{SELECT fm_drop(model) FROM fm_models WHERE model = 'm7'; DROP TABLE domains; DROP DOMAIN price CASCADE}, 'owner');

	answer(q{SELECT status FROM fm_train('m7', 'small', num_factors => 2, iterations => 2); SELECT fm_grant('m7', 'reader');
		ALTER TABLE fm_m7_version ENABLE ROW LEVEL SECURITY}, 'owner');
	is(answer(q{SELECT fm_served_version('fm_m7_version') IS NULL}, 'reader'), 't', 'fm_served_version respects policies');
	answer(q{ALTER TABLE fm_m7_version DISABLE ROW LEVEL SECURITY}, 'owner');

	answer(q{CREATE TABLE referenced (user_id integer PRIMARY KEY);
		CREATE TABLE deferred7 (user_id integer REFERENCES referenced DEFERRABLE INITIALLY DEFERRED, rank integer, item_id integer, score real)}, 'owner');
	my $said = answer(q{SELECT fm_write_top_x('deferred7', 3, 'm7')}, 'owner');
	like($said, qr/ERROR: .*deferred7/, 'a deferred foreign key: the table is named');
	like($said, qr/HINT/, 'and what to do');
	answer(q{CREATE TABLE xids AS SELECT user_id::text::xid AS user_id, item_id::text::xid AS item_id, rating FROM small; SELECT status FROM fm_train('x7', 'xids', num_factors => 2, iterations => 2)});
	unlike(answer(q{SELECT fm_write_top_x('x7', 3, 'x7')}), qr/operator class for access method/, 'ids without an order: written without a primary key, or refused by name');
	answer(q{CREATE TABLE long AS SELECT user_id, (SELECT string_agg(md5(g::text || item_id), '') FROM generate_series(1, 400) g) AS item_id, rating FROM small});
	$said = answer(q{SELECT status FROM fm_train('long7', 'long', num_factors => 2, iterations => 2)});
	unlike($said, qr/index row/, 'long ids: no error of the index');
	like($said, qr/column "item_id"|^succeeded/, 'but one that names the column');
	answer(q{CREATE TABLE moneys AS SELECT user_id, item_id, rating::numeric::money AS rating FROM small});
	$said = answer(q{SELECT status FROM fm_train('money7', 'moneys', num_factors => 2, iterations => 2)});
	like($said, qr/column "rating" of relation "moneys" is of type money/, 'a money rating: the column is named');
	for my $call (q{SELECT fm_train('m7')}, q{SELECT fm_write_top_x('l7', 3, 'm7')}, q{CALL fm_refresh('m7')}, q{SELECT fm_activate('m7', 1)}, q{SELECT fm_set('m7', 3)})
	{
		like(answer("BEGIN READ ONLY; $call"), qr/ERROR:  25006: cannot execute fm_\w+/, "in a read-only transaction: $call");
	}
	answer(q{CREATE TABLE gone AS TABLE small; SELECT status FROM fm_train('gone7', 'gone', num_factors => 2, iterations => 2); SELECT fm_write_top_x('gone_lists', 3, 'gone7'); DROP TABLE gone});
	like(answer(q{SELECT fm_write_top_x('gone_lists', 3, 'gone7')}), qr/ERROR:  42P01: .*"gone7".*(does not exist|no longer exists)/, 'ratings that are gone');
	answer(q{SELECT fm_drop(model) FROM fm_models; DROP TABLE IF EXISTS xids, long, moneys, gone_lists, x7, l7, deferred7, referenced CASCADE});
});

subtest('8. duplicates in a table without a key' => sub {
	answer(q{SELECT status FROM fm_train('m8', 'small', num_factors => 2, iterations => 2); CREATE TABLE own (user_id integer, rank integer, item_id integer, score real);
		SELECT fm_write_top_x('own', 3, 'm8'); INSERT INTO own SELECT * FROM own LIMIT 5});
	my $written = answer(q{SELECT fm_write_top_x('own', 3, 'm8')});
	is($written, answer(q{SELECT count(*) FROM own}), 'as many rows as are said');
	is(answer(q{SELECT count(*) - count(DISTINCT (user_id, rank)) FROM own}), '0', 'none twice');
	answer(q{SELECT fm_drop(model) FROM fm_models WHERE model = 'm8'; DROP TABLE own});
});

subtest('9. waiting is said' => sub {
	answer(q{SELECT status FROM fm_train('m9', 'small', num_factors => 2, iterations => 2); SELECT fm_grant('m9', 'other'); SELECT fm_grant('m9', 'reader')}, 'owner');
	my $holder = $node->background_psql('postgres', on_error_stop => 1);
	$holder->query_safe(q{BEGIN; SELECT status FROM fm_train('m9', num_factors => 2, iterations => 2)});
	my $said = answer(q{SET lock_timeout = 500; SELECT status FROM fm_train('m9', num_factors => 2, iterations => 2)});
	like($said, qr/NOTICE.*"m9".*\d+/, 'who is waited for');
	my ($out, $error) = ('', '');
	my $waiting = IPC::Run::start([ 'psql', '-XAtq', '-d', $node->connstr('postgres'), '-c', q{SELECT fm_train('m9', num_factors => 2, iterations => 2)} ], '>' => \$out, '2>' => \$error);
	$node->poll_query_until('postgres', q{SELECT count(*) = 1 FROM pg_locks WHERE NOT granted});
	is(answer(q{SELECT count(*) FROM fm_progress WHERE model = 'm9' AND phase LIKE '%wait%'}), '1', 'the waiting is shown');
	$holder->query_safe('ROLLBACK');
	$waiting->finish;
	$holder->query_safe(q{BEGIN; SELECT status FROM fm_train('first9', 'small', num_factors => 2, iterations => 2)});
	is(answer(q{SET lock_timeout = 500; SELECT status FROM fm_train('second9', 'small', num_factors => 2, iterations => 2)}, 'other'), 'succeeded', 'a first training blocks no other name');
	$holder->query_safe('ROLLBACK');
	$holder->query_safe(q{SET ROLE owner; BEGIN; LOCK TABLE fm_m9_version IN ACCESS EXCLUSIVE MODE});
	like(answer(q{SET lock_timeout = 500; SELECT count(*) FROM fm_health WHERE model = 'second9'}, 'other'), qr/^1$/, 'a lock on one model leaves fm_health to others');
	unlike(answer(q{SET lock_timeout = 500; SELECT * FROM fm_health}, 'other'), qr/55P03/, 'with all that it shows');
	answer(q{SELECT status FROM fm_train('mine9', 'small', num_factors => 2, iterations => 2)}, 'reader');
	like(answer(q{SET lock_timeout = 500; SET fmtopx.model = 'mine9'; SELECT count(*) FROM fm_top_x(1, 3)}, 'reader'), qr/^3$/, 'and a question that another model answers');
	unlike(answer(q{SET lock_timeout = 500; SELECT count(*) FROM fm_top_x(1, 3)}, 'reader'), qr/55P03/, 'and one that names none');
	$holder->query_safe('ROLLBACK');
	$holder->quit;
	answer(q{SELECT fm_drop(model) FROM fm_models});
});

subtest('10. integer types are compatible' => sub {
	answer(q{CREATE TABLE grown AS TABLE small; SELECT status FROM fm_train('m10', 'grown', num_factors => 2, iterations => 2); SELECT fm_write_top_x('l10', 3, 'm10'); SELECT fm_grant('m10', 'reader')});
	my $before = answer(q{SELECT * FROM fm_top_x(7, 5, 'm10')});
	answer(q{ALTER TABLE grown ALTER user_id TYPE bigint, ALTER item_id TYPE bigint});
	is(answer(q{SELECT * FROM fm_top_x(7, 5, 'm10')}), $before, 'fm_top_x goes on');
	unlike(answer(q{SELECT * FROM fm_evaluate('grown', 'm10')}), qr/ERROR/, 'fm_evaluate');
	unlike(answer(q{SELECT fm_write_top_x('l10', 3, 'm10')}), qr/ERROR/, 'fm_write_top_x');
	unlike(answer(q{CALL fm_refresh('m10')}), qr/ERROR/, 'fm_refresh');
	is(answer(q{SELECT status FROM fm_train('m10', 'grown', num_factors => 2, iterations => 2)}), 'succeeded', 'a training that names the ratings');
	is(answer(q{SELECT atttypid::regtype FROM pg_attribute WHERE attrelid = (SELECT user_table FROM fm_models WHERE model = 'm10') AND attname = 'user_id'}), 'bigint', 'makes the tables anew');
	is(answer(q{SELECT count(*) FROM fm_top_x(7, 5, 'm10')}, 'reader'), '5', 'with the grants');
	is(answer(q{SELECT targets FROM fm_health WHERE model = 'm10'}), '1', 'and the targets');
	answer(q{SELECT fm_drop(model) FROM fm_models WHERE model = 'm10'; DROP TABLE grown, l10});
});

subtest('11. values that differ by little' => sub {
	answer(q{CREATE TABLE near AS SELECT user_id, item_id, 1e9 + rating AS rating FROM small; CREATE TABLE features AS SELECT i AS item_id, 1e15 + i AS n FROM generate_series(1, 40) i;
		CREATE TABLE strangers AS SELECT -i AS item_id, i % 3 AS kind FROM generate_series(1, 40) i});
	is(answer(q{SELECT status FROM fm_train('m11', 'near', solver => 'als', num_factors => 2, iterations => 5)}), 'succeeded', '1e9 + rating is learnt');
	cmp_ok(answer(q{SELECT (train_metrics ->> 'rmse')::float8 FROM fm_runs WHERE model = 'm11'}) || 99, '<', 2, 'as well as the rating');
	unlike(answer(q{SELECT status FROM fm_train('f11', 'small', item_features => 'features', num_factors => 2, iterations => 30)}), qr/ERROR/, 'a feature 1e15 + item_id');
	is(answer(q{SELECT count(*) FROM fm_f11_level WHERE feature = 'n' AND w <> 0}), '1', 'has a part in the model');
	like(answer_notice(q{SELECT status FROM fm_train('s11', 'small', item_features => 'strangers', num_factors => 2, iterations => 2)}), qr/NOTICE.*strangers/, 'features of items that nobody rated: a notice');
	answer(q{CREATE COLLATION loose (provider = icu, locale = 'und-u-ks-level2', deterministic = false); CREATE TABLE cased AS SELECT i AS item_id, CASE WHEN i % 2 = 0 THEN 'Drama' ELSE 'DRAMA' END COLLATE loose AS genre FROM generate_series(1, 40) i});
	answer(q{SELECT status FROM fm_train('c11', 'small', item_features => 'cased', num_factors => 2, iterations => 2)});
	is(answer(q{SELECT count(*) FROM fm_c11_level WHERE feature = 'genre'}), '1', 'levels that are equal by their collation are one');
	answer(q{SELECT fm_drop(model) FROM fm_models; DROP TABLE near, features, strangers, cased});
});

# What psql says besides.
sub answer_notice
{
	my ($sql) = @_;
	my ($status, $out, $error) = $node->psql('postgres', $sql);
	return "$out\n$error";
}

subtest('12. a library that is loaded while time runs out' => sub {
	my $broken = 0;
	for my $try (1 .. 12)
	{
		my $said = answer_all(q{SET client_min_messages = error; SET fmtopx.simd = 'avx1024'; SET statement_timeout = '20ms';
DO $$ BEGIN WHILE clock_timestamp() < statement_timestamp() + interval '19.6 ms' LOOP END LOOP; PERFORM fm_simd(); END $$;
RESET statement_timeout; SELECT count(*) > 0 FROM fm_simd();});
		$broken++ if $said !~ /^t$/m;
	}
	is($broken, 0, 'the session goes on');
	like(answer(q{SELECT fm_forget_target(0)}), qr/ERROR:  42P01: /, 'a table that is none is not called "(null)"');
});

# All of it, errors or not.
sub answer_all
{
	my ($sql) = @_;
	my ($status, $out, $error) = $node->psql('postgres', $sql, on_error_stop => 0);
	return "$out\n$error";
}

subtest('13. models whose tables are gone leave nothing behind' => sub {
	answer(q{CREATE TABLE genres AS SELECT i AS item_id, i % 3 AS kind FROM generate_series(1, 40) i;
		SELECT status FROM fm_train('dead', 'small', item_features => 'genres', num_factors => 2, iterations => 2);
		DROP TABLE fm_dead_version, fm_dead_user, fm_dead_item, fm_dead_matrix, fm_dead_level});
	is(answer(q{SELECT status FROM fm_train('dead', 'small', item_features => 'genres', num_factors => 2, iterations => 2)}), 'succeeded', 'a training of that name makes them anew');
	answer(q{SELECT fm_drop(model) FROM fm_models WHERE model = 'dead'});
});

subtest('14. users that are there twice' => sub {
	answer(q{SELECT status FROM fm_train('twice', 'small', num_factors => 2, iterations => 2); ALTER TABLE fm_twice_user DROP CONSTRAINT fm_twice_user_pkey;
		INSERT INTO fm_twice_user SELECT * FROM fm_twice_user LIMIT 5});
	like(answer($_), qr/ERROR:  XX001/, $_) for q{SELECT * FROM fm_top_users(3, 10, 'twice')}, q{SELECT count(*) FROM fm_top_x_all(3, 'twice', false)}, q{SELECT fm_write_top_x('twice', 3, 'twice', false)};
	answer(q{SELECT fm_drop(model) FROM fm_models WHERE model = 'twice'});
});

$node->stop;
done_testing();
