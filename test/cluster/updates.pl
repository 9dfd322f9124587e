# ALTER EXTENSION fmtopx UPDATE: from every version that has an install script, by every update script, to the
# default version. The result must be equal to that of CREATE EXTENSION, including comments and privileges, and models
# must keep working. First with the scripts of the extension, then with right and wrong ones made up to test this test.
use strict;
use warnings;
use Cwd qw(abs_path);
use Test::More;
use FindBin;
use lib $FindBin::Bin;
use NeedCluster;

# Return all objects of the extension, a line or a definition each.
my $catalogue = q{
WITH member AS (
	SELECT classid, objid FROM pg_depend
	WHERE deptype = 'e' AND refclassid = 'pg_extension'::regclass
	  AND refobjid = (SELECT oid FROM pg_extension WHERE extname = 'fmtopx')),
relation AS (
	SELECT c.* FROM pg_class c JOIN member ON classid = 'pg_class'::regclass AND objid = c.oid),
line (line) AS (
	SELECT concat_ws(' ', o.type, o.identity, obj_description(objid, classid::regclass::name))
	FROM member, pg_identify_object(classid, objid, 0) o
	UNION ALL
	SELECT concat_ws(' ', CASE WHEN prokind <> 'a' THEN pg_get_functiondef(p.oid) END, p.oid::regprocedure, a, proparallel, proacl)
	FROM member JOIN pg_proc p ON classid = 'pg_proc'::regclass AND objid = p.oid LEFT JOIN pg_aggregate a ON aggfnoid = p.oid
	UNION ALL
	SELECT concat_ws(' ', typname, typlen, typbyval, typcategory, typalign, typstorage, typinput, typoutput, typreceive, typsend, typacl)
	FROM member JOIN pg_type t ON classid = 'pg_type'::regclass AND objid = t.oid WHERE typtype = 'b'
	UNION ALL
	SELECT concat_ws(' ', relname, relkind, relrowsecurity, relforcerowsecurity, reloptions, relacl,
		CASE relkind WHEN 'v' THEN pg_get_viewdef(oid) END)
	FROM relation
	UNION ALL
	SELECT concat_ws(' ', attrelid::regclass, row_number() OVER (PARTITION BY attrelid ORDER BY attnum), attname,
		format_type(atttypid, atttypmod), attnotnull, attacl, pg_get_expr(adbin, adrelid), col_description(attrelid, attnum))
	FROM relation r JOIN pg_attribute a ON attrelid = r.oid AND attnum > 0 AND NOT attisdropped
	LEFT JOIN pg_attrdef ON adrelid = attrelid AND adnum = attnum
	UNION ALL
	SELECT pg_get_indexdef(indexrelid) FROM relation JOIN pg_index ON indrelid = oid
	UNION ALL
	SELECT concat_ws(' ', conrelid::regclass, conname, pg_get_constraintdef(c.oid)) FROM relation r JOIN pg_constraint c ON conrelid = r.oid
	UNION ALL
	SELECT p::text FROM pg_policies p
	UNION ALL
	SELECT concat_ws(' ', extconfig::regclass[], extcondition, extrelocatable, extnamespace::regnamespace) FROM pg_extension WHERE extname = 'fmtopx')
SELECT line FROM line ORDER BY line COLLATE "C"};

my $databases = 0;
sub create
{
	my ($node, $version) = @_;
	my $database = 'db' . ++$databases;
	$node->safe_psql('postgres', "CREATE DATABASE $database");
	$node->safe_psql($database, 'CREATE EXTENSION fmtopx' . ($version ? " VERSION '$version'" : ''));
	return $database;
}

my $train = q{CREATE TABLE ratings AS
SELECT u AS user_id, i AS item_id, (3 + sin(u) + cos(i) + sin(u * 0.7) * cos(i * 1.3))::real AS rating
FROM generate_series(1, 50) u, generate_series(1, 40) i WHERE hashint8extended(u * 1000 + i, 1) % 3 = 0;
SELECT fm_train('m', 'ratings', num_factors => 4, iterations => 10);
SELECT fm_write_top_x('lists', 5, 'm')};
my $lists = q{SELECT md5(string_agg(t::text, ' ' ORDER BY t.user_id, t.rank)) FROM fm_top_x_all(5, 'm') t};

# Return what is wrong with an update from one version through another to the default one.
sub complaints_of_update
{
	my ($node, $fresh, $from, $over) = @_;
	my @complaints;
	eval {
		my $database = create($node, $from);
		$node->safe_psql($database, $train);
		my $before = $node->safe_psql($database, $lists);
		$node->safe_psql($database, "ALTER EXTENSION fmtopx UPDATE TO '$over'; ALTER EXTENSION fmtopx UPDATE");
		my %have = map { $_ => 1 } split /\n/, $node->safe_psql($database, $catalogue);
		my %want = map { $_ => 1 } split /\n/, $fresh;
		push @complaints, map { "$from, $over: too much: $_" } grep { !$want{$_} } sort keys %have;
		push @complaints, map { "$from, $over: missing: $_" } grep { !$have{$_} } sort keys %want;
		push @complaints, "$from, $over: other lists" if $before ne $node->safe_psql($database, $lists);
		$node->safe_psql($database, q{CALL fm_refresh('m'); SELECT fm_drop('m')});
		1;
	} or push @complaints, "$from, $over: " . ($@ =~ /ERROR: +(.*)/ ? $1 : $@);
	return @complaints;
}

sub complaints
{
	my ($node) = @_;
	my $database = create($node);
	my $fresh = $node->safe_psql($database, $catalogue);
	my $default = $node->safe_psql($database, q{SELECT extversion FROM pg_extension WHERE extname = 'fmtopx'});
	my @unreachable = split /\n/, $node->safe_psql('postgres', qq{
		SELECT source FROM pg_extension_update_paths('fmtopx') WHERE target = '$default' AND path IS NULL ORDER BY 1});
	# a row for each script that leads to the default version, from a version that can be installed
	my @scripts = split /\n/, $node->safe_psql('postgres', q{
		SELECT source || ' ' || target FROM pg_extension_update_paths('fmtopx') WHERE path = source || '--' || target ORDER BY 1});
	return ((map { "$_: no path to $default" } @unreachable),
		map { complaints_of_update($node, $fresh, split / /) } @scripts);
}

sub start
{
	my ($name, $conf) = @_;
	my $node = PostgreSQL::Test::Cluster->new($name);
	$node->init;
	$node->append_conf('postgresql.conf', "fsync = off\n$conf");
	$node->start;
	return $node;
}

my $node = start('updates', '');
cmp_ok(scalar split(/\n/, $node->safe_psql(create($node), $catalogue)), '>', 100, 'the extension has a catalogue');
is(join("\n", complaints($node)), '', 'every released version updates to the default one');
$node->stop;

# A copy of the directory that the throwaway cluster installs into, with more versions.
my $conf = PostgreSQL::Test::Utils::slurp_file($ENV{TEMP_CONFIG});
my ($root) = $conf =~ /^extension_(?:destdir|control_path) = '(.*\/root)\b/m;
my $fake = abs_path(PostgreSQL::Test::Utils::tempdir());
SKIP:
{
	skip('the extension is installed in the system', 4) unless $root;
	PostgreSQL::Test::Utils::system_or_bail('cp', '-R', "$root/.", $fake);
	my ($control) = split /\n/, `find '$fake' -name fmtopx.control`;
	my ($default) = PostgreSQL::Test::Utils::slurp_file($control) =~ /default_version = '(.*)'/;
	my $script = $control =~ s/\.control$/--/r;
	my $sql = PostgreSQL::Test::Utils::slurp_file("$script$default.sql");
	my $added = $sql =~ /^(CREATE FUNCTION fm_set\(.*?^COMMENT ON FUNCTION fm_set\(.*?;\n)/ms ? $1 : die 'no fm_set';
	my $before = $sql =~ s/\Q$added\E//r;

	PostgreSQL::Test::Utils::append_to_file("${script}0.0.1.sql", $before);
	PostgreSQL::Test::Utils::append_to_file("${script}0.0.1--0.0.2.sql", "CREATE FUNCTION fm_passing() RETURNS integer LANGUAGE sql AS 'SELECT 1';\n");
	PostgreSQL::Test::Utils::append_to_file("${script}0.0.2--$default.sql", "DROP FUNCTION fm_passing();\n$added");
	my $other = start('fake', $conf =~ s/\Q$root\E/$fake/gr);
	is(join("\n", complaints($other)), '', 'a right one is found right');

	PostgreSQL::Test::Utils::append_to_file("${script}0.0.3.sql", $before);
	is(join("\n", complaints($other)), "0.0.3: no path to $default", 'a version that cannot be updated is found');

	PostgreSQL::Test::Utils::append_to_file("${script}0.0.3--$default.sql", $added =~ s/^COMMENT.*//msr);
	like(join("\n", complaints($other)), qr/^0\.0\.3, \Q$default\E: too much: function .*fm_set.*\n0\.0\.3, \Q$default\E: missing: function .*fm_set.* Sets options/,
		'an update that forgets a comment is found');
	PostgreSQL::Test::Utils::append_to_file("${script}0.0.2--$default.sql", 'UPDATE fm_model SET stamp = stamp + 1, num_factors = 0;');
	like(join("\n", complaints($other)), qr/^0\.0\.1, 0\.0\.2: .*violates check constraint/m, 'and one that fails');
	$other->stop;
}
done_testing();
