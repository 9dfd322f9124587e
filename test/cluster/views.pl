# What the views show of tables that are not plain: rows that are elsewhere, policies, columns that were altered. And
# that one model's tables cannot break the views for others.
use strict;
use warnings;
use Test::More;
use FindBin;
use lib $FindBin::Bin;
use NeedCluster qw(BackgroundPsql);

my $node = PostgreSQL::Test::Cluster->new('views');
$node->init;
$node->append_conf('postgresql.conf', "fsync = off\nautovacuum = off\n");
$node->start;
$node->safe_psql(
	'postgres', q{
CREATE EXTENSION fmtopx;
CREATE ROLE owner LOGIN;
CREATE ROLE reader LOGIN;
GRANT ALL ON SCHEMA public TO PUBLIC;
CREATE TABLE ratings AS
SELECT u AS user_id, i AS item_id, (1 + u * i % 5)::real AS rating
FROM generate_series(1, 60) u, generate_series(1, 40) i WHERE (u * 7 + i * 13) % 4 = 0;
GRANT SELECT ON ratings TO PUBLIC;
});

sub as
{
	my ($role, $sql) = @_;
	my ($status, $out, $error) = $node->psql('postgres', $sql, on_error_stop => 0, timeout => 60,
		extra_params => [ '-U', $role ]);
	return join("\n", grep { $_ ne '' } $out, $error);
}

# An attached model: copies of the tables of another, with two versions.
sub attach
{
	my ($name) = @_;
	my $create = join('; ', map { "CREATE TABLE fm_${name}_$_ (LIKE fm_origin_$_ INCLUDING ALL); INSERT INTO fm_${name}_$_ SELECT * FROM fm_origin_$_" } qw(version user item matrix));
	return as('owner', "$create; SELECT fm_attach('$name', 'ratings'); SELECT fm_grant('$name', 'public')");
}

as('owner', q{SELECT fm_train('origin', 'ratings', num_factors => 2, iterations => 2); SELECT fm_train('origin', num_factors => 2, iterations => 3)});
attach('copy');
my $shown = q{SELECT (SELECT active_version FROM fm_models WHERE model = 'copy'), (SELECT active_version FROM fm_health WHERE model = 'copy')};
my $lists = q{SELECT string_agg(item_id || ':' || score, ' ' ORDER BY rank) FROM fm_top_x(7, 10, '%s')};
is(as('reader', $shown), '2|2', 'the views show what an attached model serves');
my $second = as('reader', sprintf($lists, 'copy'));
is($second, as('owner', sprintf($lists, 'origin')), 'which is served');

# The pointer is what a query of the table says: here, rows are in a child.
as('owner', q{CREATE TABLE elsewhere () INHERITS (fm_copy_version); INSERT INTO elsewhere SELECT * FROM ONLY fm_copy_version WHERE version = 1;
	UPDATE elsewhere SET activation = activation + 100; SELECT fm_activate('origin', 1)});
my $first = as('owner', sprintf($lists, 'origin'));
isnt($first, $second, 'the first version has other lists');
as('owner', q{DELETE FROM ONLY fm_copy_version WHERE version = 1});
is(as('reader', $shown), '1|1', 'the views go by the query');
is(as('reader', sprintf($lists, 'copy')), $first, 'and so do lists');
as('owner', q{DROP TABLE elsewhere});
is(as('reader', $shown), '2|2', 'rows that are gone do not count');
is(as('reader', sprintf($lists, 'copy')), $second, 'and are not served');

# In a transaction, it is what that transaction sees.
my $inside = $node->background_psql('postgres', on_error_stop => 1, extra_params => [ '-U', 'owner' ]);
my $none = q{UPDATE fm_copy_version SET activation = 0};
like($inside->query_safe("BEGIN; $none; $shown"), qr/^\|$/m, 'a transaction sees its own change');
is(as('reader', $shown), '2|2', 'others do not');
$inside->query_safe('ROLLBACK');

# Policies: whoever does not see all rows is shown none, and no policy runs in the views.
as('owner', q{ALTER TABLE fm_copy_version ENABLE ROW LEVEL SECURITY});
is(as('reader', $shown), '|', 'a policy for the reader: no version');
like(as('reader', sprintf($lists, 'copy')), qr/row-level security/, 'and no lists');
is(as('owner', $shown), '2|2', 'the owner is not subject to it');
as('owner', q{CREATE FUNCTION spy() RETURNS boolean LANGUAGE plpgsql AS $$BEGIN RAISE 'spied as %', current_user; END$$;
	CREATE POLICY spy ON fm_copy_version USING (spy()); ALTER TABLE fm_copy_version FORCE ROW LEVEL SECURITY});
is(as($_, $shown), '|', "a policy that fails: nothing runs for $_") for qw(owner reader);
is(as('reader', q{SELECT count(*) FROM fm_models}), '1', 'the views work on');
as('owner', q{ALTER TABLE fm_copy_version NO FORCE ROW LEVEL SECURITY, DISABLE ROW LEVEL SECURITY; DROP FUNCTION spy CASCADE});
is(as('reader', $shown), '2|2', 'without it, the version is shown again');

# Tables that were altered, or are locked.
as('owner', q{SELECT fm_activate('origin', 2)});
attach('broken');
my $both = q{SELECT model, active_version FROM fm_models WHERE attached ORDER BY model};
is(as('reader', $both), "broken|2\ncopy|2", 'two attached models');
for my $damage ('ALTER TABLE fm_broken_version RENAME activation TO activated',
	'ALTER TABLE fm_broken_version RENAME activated TO activation; ALTER TABLE fm_broken_version ALTER stamp TYPE text')
{
	as('owner', $damage);
	is(as('reader', $both), "broken|\ncopy|2", "the other is shown after $damage");
	is(as('reader', q{SELECT count(*) FROM fm_health}), '2', 'also by fm_health');
	is(as('reader', sprintf($lists, 'copy')), $second, 'and serves');
	like(as('reader', sprintf($lists, 'broken')), qr/has no version yet/, 'this one does not');
}
$inside->query_safe('BEGIN; LOCK TABLE fm_broken_version IN ACCESS EXCLUSIVE MODE');
is(as('reader', "SET lock_timeout = 2000; $both"), "broken|\ncopy|2", 'nor does a lock keep the other from being shown');
is(as('reader', 'SET lock_timeout = 2000; SELECT model, size > 0 FROM fm_health ORDER BY model'), "broken|\ncopy|t", 'also by fm_health');
$inside->query_safe('ROLLBACK');
as('owner', q{ALTER TABLE fm_broken_version ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY; CREATE POLICY trap ON fm_broken_version USING (1 / (version - version) = 1)});
is(as('owner', q{SELECT fm_drop('broken')}), '', 'what is broken can be dropped');

# A cancel is not taken for a broken table.
as('owner', q{ALTER TABLE fm_copy_version RENAME TO fm_copy_version_0; CREATE TABLE fm_copy_version (LIKE fm_copy_version_0);
	ALTER TABLE fm_copy_version_0 INHERIT fm_copy_version});
$node->safe_psql('postgres', q{UPDATE fm_model SET version_table = 'fm_copy_version' WHERE model = 'copy'; GRANT SELECT ON fm_copy_version TO PUBLIC});
is(as('reader', $shown), '2|2', 'rows of a child are read');
$inside->query_safe('BEGIN; LOCK TABLE fm_copy_version_0 IN ACCESS EXCLUSIVE MODE');
is(as('reader', "SET lock_timeout = 2000; $shown"), '|', 'a lock on the child is not waited for');
$inside->query_safe('ROLLBACK');
$inside->quit;

# ratings_since counts what a query of the ratings would return.
sub since
{
	my ($model, $rows) = @_;
	return $node->safe_psql('postgres', "SELECT ratings_since FROM fm_health WHERE model = '$model'");
}

sub train_on
{
	my ($name, $relation) = @_;
	is($node->safe_psql('postgres', "SELECT status FROM fm_train('$name', '$relation', num_factors => 2, iterations => 2)"), 'succeeded', "trained on $relation");
	return;
}
$node->safe_psql('postgres', q{
CREATE TABLE plain AS TABLE ratings;
CREATE TABLE parted (LIKE ratings) PARTITION BY HASH (user_id);
CREATE TABLE part0 PARTITION OF parted FOR VALUES WITH (MODULUS 2, REMAINDER 0) PARTITION BY HASH (item_id);
CREATE TABLE part00 PARTITION OF part0 FOR VALUES WITH (MODULUS 1, REMAINDER 0);
CREATE TABLE part1 PARTITION OF parted FOR VALUES WITH (MODULUS 2, REMAINDER 1);
INSERT INTO parted TABLE ratings;
CREATE TABLE parent AS TABLE ratings;
CREATE TABLE child () INHERITS (parent);
CREATE VIEW seen AS TABLE ratings;
CREATE MATERIALIZED VIEW stored AS TABLE ratings;
CREATE TABLE repeated AS SELECT r.* FROM ratings r, generate_series(1, 3);
});
train_on($_, $_) for qw(plain parted parent seen stored repeated);
is(since($_), '0', "$_: nothing since") for qw(plain parted parent stored repeated);
is(since('seen'), '', 'a view has no statistics');
$node->safe_psql('postgres', "INSERT INTO $_ SELECT g, 100 + g, 3 FROM generate_series(1, 50) g") for qw(plain parted child ratings repeated);
$node->safe_psql('postgres', 'REFRESH MATERIALIZED VIEW stored; ANALYZE');
is(since($_), '50', "$_: what has come since") for qw(plain parted parent stored repeated);
$node->safe_psql('postgres', q{SELECT fm_fold_in('repeated')});
is(since('repeated'), '0', 'nothing, after it is folded in');
$node->safe_psql('postgres', q{CREATE ROLE forced; CREATE FUNCTION slow(integer) RETURNS boolean LANGUAGE plpgsql IMMUTABLE AS
	$$BEGIN PERFORM pg_sleep(60); RETURN true; END$$; CREATE POLICY slow ON plain USING (slow(1));
	ALTER TABLE plain FORCE ROW LEVEL SECURITY; ALTER TABLE plain ENABLE ROW LEVEL SECURITY; ALTER TABLE plain OWNER TO forced});
is($node->safe_psql('postgres', q{SET statement_timeout = '10s'; SELECT ratings_since FROM fm_health WHERE model = 'plain'}), '', 'rows that a policy hides from their owner are counted by no statistics');
$node->safe_psql('postgres', 'DROP TABLE plain');
is(since('plain'), '', 'nor those of a table that is gone');
SKIP:
{
	skip 'postgres_fdw is not installed', 3
	  if $node->safe_psql('postgres', q{SELECT count(*) FROM pg_available_extensions WHERE name = 'postgres_fdw'}) == 0;
	my ($host, $port) = ($node->host, $node->port);
	$node->safe_psql('postgres', qq{CREATE EXTENSION postgres_fdw; CREATE SERVER self FOREIGN DATA WRAPPER postgres_fdw OPTIONS (host '$host', port '$port', dbname 'postgres');
		CREATE USER MAPPING FOR CURRENT_USER SERVER self; CREATE FOREIGN TABLE far (user_id integer, item_id integer, rating real) SERVER self OPTIONS (table_name 'ratings')});
	train_on('far', 'far');
	is(since('far'), '', 'a foreign table has no statistics');
	$node->safe_psql('postgres', 'INSERT INTO ratings SELECT g, 200 + g, 3 FROM generate_series(1, 7) g; ANALYZE far');
	is(since('far'), '7', 'but those of ANALYZE');
}

$node->stop;
done_testing();
