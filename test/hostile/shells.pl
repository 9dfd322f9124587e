# Relations whose rows stand elsewhere than in their own pages: shells (test/modules/shell_relations), as distributed
# tables are, and hash partitions on two other servers. Whatever is asked must be as of a plain table with the same rows.
use strict;
use warnings;
use Test::More;
use FindBin;
use lib "$FindBin::Bin/../cluster";
use NeedCluster;

my $module = "$FindBin::Bin/../modules/shell_relations";
my $said = `make -s -C $module PG_CONFIG=$ENV{PG_CONFIG} 2>&1`;
is($?, 0, 'the module is built') or diag($said);

my $node = PostgreSQL::Test::Cluster->new('shells');
$node->init;
$node->append_conf('postgresql.conf', qq{
fsync = off
autovacuum = off
min_parallel_table_scan_size = 0
session_preload_libraries = '$module/shell_relations.so'
});
$node->start;

# The same rows twice: in plain.ratings, and in shells.ratings, whose own pages hold some that are long gone.
$node->safe_psql('postgres', q{
CREATE EXTENSION fmtopx;
CREATE SCHEMA plain;
CREATE SCHEMA shells;
CREATE TABLE plain.ratings AS
SELECT u AS user_id, i AS item_id, (3 + sin(u) + cos(i) + sin(u * 0.7) * cos(i * 1.3))::real AS rating
FROM generate_series(1, 100) u, generate_series(1, 60) i WHERE hashint8extended(u * 1000 + i, 1) % 3 = 0;
CREATE TABLE plain.films AS SELECT i AS item_id, i % 4 AS genre FROM generate_series(1, 60) i;
CREATE TABLE shells.ratings AS SELECT user_id, item_id % 60 + 1 AS item_id, (6 - rating)::real AS rating FROM plain.ratings WHERE user_id % 2 = 0;
CREATE TABLE shells.ratings__rows AS TABLE plain.ratings;
CREATE TABLE shells.films (LIKE plain.films);
CREATE TABLE shells.films__rows AS TABLE plain.films;
CREATE SCHEMA parts;
CREATE EXTENSION postgres_fdw;
CREATE TABLE parts.ratings (LIKE plain.ratings) PARTITION BY HASH (user_id);
CREATE TABLE parts.fresh (user_id integer, rank integer, item_id integer, score real, rating real) PARTITION BY HASH (user_id);
CREATE TABLE parts.stale (LIKE parts.fresh) PARTITION BY HASH (user_id);
CREATE TABLE parts.films AS TABLE plain.films;
});
my ($host, $port) = ($node->host, $node->port);
for my $n (0 .. 1)
{
	my %columns = (ratings => 'user_id integer, item_id integer, rating real', map { ($_ => 'user_id integer, rank integer, item_id integer, score real, rating real') } qw(fresh stale));
	$node->safe_psql('postgres', "CREATE DATABASE node$n");
	$node->safe_psql("node$n", join('; ', map { "CREATE TABLE $_ ($columns{$_})" } sort keys %columns));
	$node->safe_psql('postgres', "CREATE SERVER node$n FOREIGN DATA WRAPPER postgres_fdw OPTIONS (host '$host', port '$port', dbname 'node$n');
		CREATE USER MAPPING FOR CURRENT_USER SERVER node$n;" . join('; ', map { "CREATE FOREIGN TABLE parts.${_}_$n PARTITION OF parts.$_
		FOR VALUES WITH (MODULUS 2, REMAINDER $n) SERVER node$n OPTIONS (schema_name 'public', table_name '$_')" } sort keys %columns));
}
$node->safe_psql('postgres', 'INSERT INTO parts.ratings TABLE plain.ratings');
is($node->safe_psql('postgres', 'SELECT count(*) FROM shells.ratings'), $node->safe_psql('postgres', 'SELECT count(*) FROM plain.ratings'),
	'a query of the shell is answered from its rows');

# Ask the same of all; SCHEMA stands for the name of each, which models have, too.
my @others = qw(shells parts);
sub ask
{
	my ($schema, $sql) = @_;
	my ($status, $out, $error) = $node->psql('postgres', $sql =~ s/SCHEMA/$schema/gr, on_error_stop => 1);
	return $status == 0 ? $out : $error;
}

sub same
{
	my ($sql, $what) = @_;
	my $expected = ask('plain', $sql);
	for my $other (@others)
	{
		is(ask($other, $sql), $expected =~ s/plain/$other/gr, "$other: $what");
	}
	return;
}

sub set { my ($query) = @_; return "SELECT count(*), md5(string_agg(t::text, ' ' ORDER BY t::text)) FROM ($query) t" }

my $lists = set(q{SELECT user_id, rank, item_id, score, rating FROM SCHEMA.lists});
same(q{SET search_path = SCHEMA, public; SELECT status, ratings FROM fm_train('SCHEMA', 'ratings', num_factors => 4, iterations => 5)}, 'trained from a shell');
same(set(q{SELECT * FROM fm_user_vectors('SCHEMA')}), 'vectors');
same(set(q{SELECT u, t.* FROM generate_series(1, 100, 7) u, LATERAL fm_top_x(u, 5, 'SCHEMA') t}), 'what has been rated is left out of a list');
same(set(q{SELECT * FROM fm_top_x_all(5, 'SCHEMA')}), 'and of all');
same(q{SELECT fm_write_top_x('SCHEMA.lists', 5, 'SCHEMA')}, 'and of a table of lists');
same($lists, 'with the same rows');
same(q{INSERT INTO SCHEMA.ratings SELECT u, i, 5 FROM generate_series(3, 100, 10) u, generate_series(1, 60) i WHERE hashint8extended(u * 1000 + i, 1) % 30 = 1;
	DELETE FROM SCHEMA.ratings WHERE user_id % 10 = 4 AND item_id < 20; SELECT fm_write_top_x('SCHEMA.lists', 5, 'SCHEMA')}, 'written again after changes');
same($lists, 'with the right rows');
same(q{SELECT fm_write_top_x('SCHEMA.lists', 5, 'SCHEMA')}, 'and again');
same($lists, 'as they were');
same(q{INSERT INTO SCHEMA.ratings SELECT 1000, i, i % 5 FROM generate_series(1, 60, 3) i; SELECT * FROM fm_top_x(1000, 5, 'SCHEMA')}, 'somebody new is folded in');
same(set(q{SELECT * FROM fm_evaluate('SCHEMA.ratings', 'SCHEMA')}), 'evaluated');
same(q{SELECT users, items, ratings, message FROM fm_fold_in('SCHEMA')}, 'what is new is folded in');
same(set(q{SELECT * FROM fm_user_vectors('SCHEMA')}), 'to the same vectors');
same(q{CALL fm_refresh('SCHEMA'); SELECT status, ratings FROM fm_runs WHERE model = 'SCHEMA' ORDER BY version DESC LIMIT 1}, 'refreshed');
same($lists, 'with the lists');
same(q{ANALYZE; SELECT coalesce(ratings_since, 0) FROM fm_health WHERE model = 'SCHEMA'}, 'nothing new by fm_health');
same(q{SELECT status FROM fm_train('SCHEMA_films', 'SCHEMA.ratings', item_features => 'SCHEMA.films', num_factors => 4, iterations => 5, history => true)}, 'trained with features');
same(set(q{SELECT * FROM fm_item_vectors('SCHEMA_films')}), 'to the same vectors');
same(q{SELECT status FROM fm_train('SCHEMA_ranked', 'SCHEMA.ratings', task => 'ranking', num_factors => 4, iterations => 5)}, 'a ranking');
same(set(q{SELECT * FROM fm_top_x_all(5, 'SCHEMA_ranked')}), 'and its lists');

# Tables of lists that are shells: one without rows of its own, one with lists of long ago.
for my $target (qw(fresh stale))
{
	my $columns = 'user_id integer, rank integer, item_id integer, score real, rating real, PRIMARY KEY (user_id, rank)';
	my $content = set("SELECT user_id, rank, item_id, score, rating FROM SCHEMA.$target");
	$node->safe_psql('postgres', "INSERT INTO parts.stale VALUES (1, 1, 1, 1), (5, 70, 3, NULL), (1000000, 1, 1, 1)") if $target eq 'stale';
	$node->safe_psql('postgres', "CREATE TABLE plain.$target ($columns); CREATE TABLE shells.$target ($columns)");
	$node->safe_psql('postgres', "SELECT fm_write_top_x('shells.stale', 5, 'plain')") if $target eq 'stale';
	$node->safe_psql('postgres', "CREATE TABLE shells.${target}__rows ($columns)");
	same("SELECT fm_write_top_x('SCHEMA.$target', 5, 'SCHEMA')", "$target: lists are written where a query writes");
	same($content, "$target: and are there");
	same("UPDATE SCHEMA.$target SET score = 0 WHERE user_id % 7 = 0; DELETE FROM SCHEMA.$target WHERE user_id % 11 = 0;
		INSERT INTO SCHEMA.$target VALUES (-1, 1, 1, 1); SELECT fm_write_top_x('SCHEMA.$target', 5, 'SCHEMA')", "$target: again, after changes");
	same($content, "$target: with all put right");
	same("SELECT fm_write_top_x('SCHEMA.$target', 3, 'SCHEMA', exclude_seen => false)", "$target: others");
	same($content, "$target: are there, too");
}

# The model's own tables.
@others = ('shells');
for my $kind (qw(version user item matrix))
{
	my $table = "shells.fm_shells_$kind";
	$node->safe_psql('postgres', "CREATE TABLE shells.copy (LIKE $table INCLUDING ALL); INSERT INTO shells.copy TABLE $table;
		ALTER TABLE shells.copy RENAME TO fm_shells_${kind}__rows");
}
$node->safe_psql('postgres', q{TRUNCATE shells.fm_shells_user, shells.fm_shells_item, shells.fm_shells_matrix});
my $answers = set(q{SELECT * FROM fm_top_x_all(7, 'SCHEMA') UNION ALL SELECT NULL, * FROM fm_top_x('5', 9, 'SCHEMA')
	UNION ALL SELECT NULL, rank, item_id, score, 0 FROM fm_similar_items('5', 9, 'SCHEMA') UNION ALL SELECT user_id, rank, NULL, score, 0 FROM fm_top_users('5', 9, 'SCHEMA')});
same($answers, 'model tables that are shells give the same lists');
same(set(q{SELECT * FROM fm_user_vectors('SCHEMA') UNION ALL SELECT * FROM fm_item_vectors('SCHEMA')}), 'and vectors');
same(q{SELECT fm_write_top_x('SCHEMA.lists', 4, 'SCHEMA')}, 'written from them');
same($lists, 'are the same');
same(q{SELECT fm_write_top_x('SCHEMA.lists', 4, 'SCHEMA')}, 'and again');
same($lists, 'as they were');
same(q{SELECT status FROM fm_train('SCHEMA')}, 'trained into them');
same($answers, 'gives the same answers');
same(q{SELECT users, items FROM fm_fold_in('SCHEMA')}, 'with nothing to fold in');
same(q{SELECT fm_activate('SCHEMA', 1)}, 'nothing to activate');
same(q{CALL fm_refresh('SCHEMA'); SELECT status FROM fm_runs WHERE model = 'SCHEMA' ORDER BY version DESC LIMIT 1}, 'refreshed into them');
same($answers, 'gives the same answers');

# Attached, with the pointer to the version in a shell, too: what is activated at the origin is served.
for my $schema (qw(plain shells))
{
	my $create = join('; ', map { "CREATE TABLE $schema.other_$_ (LIKE $schema.fm_${schema}_$_ INCLUDING ALL)" } qw(version user item matrix));
	$node->safe_psql('postgres', $create);
	$node->safe_psql('postgres', join('; ', map { "CREATE TABLE shells.other_${_}__rows (LIKE shells.fm_shells_$_ INCLUDING ALL)" } qw(version user item matrix)))
	  if $schema eq 'shells';
	$node->safe_psql('postgres', join('; ', map { "INSERT INTO $schema.other_$_ SELECT * FROM $schema.fm_${schema}_$_" } qw(version user item matrix)));
}
same(q{SELECT fm_attach('SCHEMA_other', 'SCHEMA.ratings', version_table => 'SCHEMA.other_version', user_table => 'SCHEMA.other_user',
	item_table => 'SCHEMA.other_item', matrix_table => 'SCHEMA.other_matrix')}, 'attached');
same($answers =~ s/'SCHEMA'/'SCHEMA_other'/gr, 'attached: gives the same answers');
same(q{SELECT active_version FROM fm_models WHERE model = 'SCHEMA_other'}, 'attached: and shows its version');
same(q{SELECT active_version FROM fm_health WHERE model = 'SCHEMA_other'}, 'attached: also as healthy');
same(q{UPDATE SCHEMA.other_version SET activation = activation + 100 WHERE version = (SELECT min(version) FROM SCHEMA.other_version)}, 'another is activated');
same(q{SELECT active_version = (SELECT min(version) FROM SCHEMA.other_version) FROM fm_models WHERE model = 'SCHEMA_other'}, 'attached: which the view shows');
same($answers =~ s/'SCHEMA'/'SCHEMA_other'/gr, 'attached: and serves');
same(q{SELECT fm_write_top_x('SCHEMA.other_lists', 4, 'SCHEMA_other')}, 'attached: and writes');
same(set(q{SELECT user_id, rank, item_id, score FROM SCHEMA.other_lists}), 'attached: lists that are the same');

$node->stop;
done_testing();
