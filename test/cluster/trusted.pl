# The owner of a database, who is no superuser, installs the extension, uses it and drops it. What they have put into
# the schema beforehand, to be taken for functions and operators of PostgreSQL, is not: the script runs as a superuser.
use strict;
use warnings;
use Test::More;
use FindBin;
use lib $FindBin::Bin;
use NeedCluster;

my $node = PostgreSQL::Test::Cluster->new('trusted');
$node->init;
$node->append_conf('postgresql.conf', "fsync = off\n");
$node->start;
$node->safe_psql('postgres', 'CREATE ROLE keeper LOGIN; CREATE ROLE guest LOGIN; CREATE DATABASE shop OWNER keeper');

# The output, or what is said if it fails.
sub as
{
	my ($role, $sql) = @_;
	my ($status, $out, $error) = $node->psql('shop', $sql, on_error_stop => 1, extra_params => [ '-v', 'VERBOSITY=verbose', ($role ? ('-U', $role) : ()) ]);
	return $status == 0 ? $out : $error;
}

# Traps: by name, with just the types that the extension's script has as operands and arguments, or would have if a
# literal without a type took that of the other operand. Each notes who has run it.
my @functions = ('num_nulls(integer, bigint, text, text, boolean, real, bigint)', 'has_table_privilege(oid, varchar)', 'has_table_privilege(regclass, text)',
	'pg_get_userbyid(oid)', 'now()', 'current_database()', 'count()', 'max(integer)', 'make_interval(double precision)', 'unnest(real[])', 'abs(numeric)',
	'jsonb_each_text(jsonb)', 'pg_extension_config_dump(regclass, text)', 'pg_describe_object(oid, oid, integer)', 'int8(integer)', 'text(name)');
my %operators = ('=' => [ 'text, text', 'integer, integer', 'oid, oid', 'name, name', 'oid, integer' ], '<>' => ['text, text'],
	'>' => ['integer, integer'], '>=' => [ 'integer, integer', 'timestamptz, timestamptz' ], '<=' => ['integer, integer'],
	'+' => ['bigint, bigint'], '-' => [ 'bigint, bigint', 'timestamptz, timestamptz', 'timestamptz, interval' ],
	'->' => [ 'jsonb, jsonb', 'jsonb, text' ], '->>' => [ 'jsonb, jsonb', 'jsonb, text' ]);
my $traps = q{CREATE SCHEMA ext; CREATE TABLE caught (who name); GRANT ALL ON caught TO PUBLIC;
CREATE FUNCTION ext.note() RETURNS boolean LANGUAGE plpgsql AS $$BEGIN INSERT INTO public.caught VALUES (current_user); RETURN true; END$$;
};
$traps .= "CREATE FUNCTION ext.$_ RETURNS boolean LANGUAGE sql AS 'SELECT ext.note()';\n" for @functions;
my $number = 0;
for my $operator (sort keys %operators)
{
	for my $types (@{ $operators{$operator} })
	{
		my ($left, $right) = split /, /, $types;
		$number++;
		$traps .= "CREATE FUNCTION ext.trap$number($types) RETURNS boolean LANGUAGE sql AS 'SELECT ext.note()';\n"
		  . "CREATE OPERATOR ext.$operator (LEFTARG = $left, RIGHTARG = $right, FUNCTION = ext.trap$number);\n";
	}
}
is(as('keeper', $traps), '', 'traps are laid');
is(as('keeper', 'SET search_path = ext, pg_catalog; SELECT 1 = 1'), 't', 'which work where they come first');
is(as('', 'SELECT DISTINCT who FROM caught'), 'keeper', 'and note who has run them');
as('', 'TRUNCATE caught; REVOKE CREATE ON SCHEMA public FROM PUBLIC');

like(as('guest', 'CREATE EXTENSION fmtopx SCHEMA ext'), qr/42501/, 'a role that may not create in the database cannot install');
is(as('keeper', 'CREATE EXTENSION fmtopx SCHEMA ext'), '', 'the owner of the database can');
is(as('', q{SELECT extowner::regrole || ' ' || (SELECT relowner = 10 FROM pg_class WHERE oid = 'ext.fm_model'::regclass) FROM pg_extension WHERE extname = 'fmtopx'}),
	'keeper true', 'the extension is theirs, what it holds is not');
is( as('', q{WITH member AS (SELECT classid, objid FROM pg_depend WHERE refclassid = 'pg_extension'::regclass AND deptype = 'e'),
		part AS (TABLE member UNION SELECT d.classid, d.objid FROM pg_depend d JOIN member m ON (m.classid, m.objid) = (d.refclassid, d.refobjid) AND d.deptype IN ('a', 'i'))
	SELECT string_agg(DISTINCT pg_describe_object(d.refclassid, d.refobjid, 0), ', ') FROM pg_depend d JOIN part USING (classid, objid)
	WHERE d.refclassid IN ('pg_proc'::regclass, 'pg_operator'::regclass, 'pg_cast'::regclass) AND (d.refclassid, d.refobjid) NOT IN (TABLE member)}),
	'', 'nothing of it has taken a trap');

# All of it in use, by its owner and by a superuser, with and without the schema in search_path.
my $views = q{SELECT count(*) FROM ext.fm_models; SELECT count(*) FROM ext.fm_runs; SELECT count(*) FROM ext.fm_curve; SELECT count(*) FROM ext.fm_metrics;
SELECT count(*) FROM ext.fm_trials; SELECT count(*) FROM ext.fm_health; SELECT count(*) FROM ext.fm_progress; SELECT count(*) FROM ext.fm_cache;
SELECT count(*) FROM ext.fm_model; SELECT count(*) FROM ext.fm_run; SELECT count(*) FROM ext.fm_target; SELECT count(*) FROM ext.fm_trial;};
my $use = sub {
	my ($role, $model) = @_;
	is(as($role, qq{SELECT status FROM ext.fm_train('$model', 'public.ratings', num_factors => 3, iterations => 5, test_size => 0.1, schema => 'models')}),
		'succeeded', "$model: trained");
	is(as($role, qq{SELECT count(*) FROM models.fm_${model}_top_x(1, 5)}), '5', "$model: serves");
	is(as($role, qq{SELECT ext.fm_write_top_x('models.lists_$model', 5, '$model'); CALL ext.fm_refresh('$model');
		SELECT count(*) FROM models.lists_$model}) =~ s/.*\n//sr, '150', "$model: refreshed, with its lists");
	is(as($role, qq{CALL ext.fm_tune('$model', trials => 1); SELECT version FROM ext.fm_fold_in('$model')}), '2', "$model: tuned and folded into");
	unlike(as($role, "$_ $views"), qr/ERROR/, "$model: looked at") for ('', 'SET search_path = ext, public;');
};
as('keeper', q{CREATE SCHEMA models; GRANT ALL ON SCHEMA models TO PUBLIC; CREATE TABLE ratings AS SELECT u AS user_id, i AS item_id, (1 + (u * i) % 5)::real AS rating
	FROM generate_series(1, 30) u, generate_series(1, 20) i WHERE (u * 7 + i * 13) % 4 = 0; GRANT SELECT ON ratings TO PUBLIC});
$use->('keeper', 'kept');
$use->('', 'own');
is(as('', 'SELECT count(*) FROM caught'), '0', 'no trap has run, as whomever');

# The owner of the extension has no power over what it holds.
like(as('keeper', $_), qr/42501/, "the owner of the extension cannot: $_")
  for (q{DELETE FROM ext.fm_model}, q{ALTER EXTENSION fmtopx DROP TABLE ext.fm_model}, q{ALTER TABLE ext.fm_model DISABLE ROW LEVEL SECURITY},
	q{CREATE TRIGGER t BEFORE INSERT ON ext.fm_run EXECUTE FUNCTION suppress_redundant_updates_trigger()},
	q{CREATE OR REPLACE FUNCTION ext.fm_drop(model text) RETURNS void LANGUAGE sql AS 'SELECT NULL::void'}, q{SELECT ext.fm_drop('own')});
like(as('keeper', 'ALTER EXTENSION fmtopx SET SCHEMA public'), qr/ERROR/, 'nor move it');
is(as('', q{DROP TABLE models.lists_own; SELECT ext.fm_drop('own')}), '', 'the superuser drops their model');

# A dump, by them and by a superuser. What they cannot restore are the rows about models: attached, the models serve.
my $dump = $node->basedir . '/shop.dump';
my $restored = sub {
	my ($role, $name, @options) = @_;
	my $user = $role || $node->safe_psql('postgres', 'SELECT current_user');
	$node->run_log([ 'pg_dump', '-Fc', '-d', $node->connstr('shop'), '-U', $user, '-f', $dump, @options ]) or return 'no dump';
	$node->safe_psql('postgres', "CREATE DATABASE $name OWNER keeper");
	$node->run_log([ 'pg_restore', '-d', $node->connstr($name), '-U', $user, $dump ]);
	return 'restored';
};
my $functions = q{SELECT count(*) FILTER (WHERE deptype = 'a') || ' ' || count(*) FILTER (WHERE deptype = 'x') FROM pg_depend
	WHERE classid = 'pg_proc'::regclass AND objid IN ('models.fm_kept_top_x'::regproc, 'models.fm_kept_top_x_all'::regproc)};
is(as('keeper', $functions), '2 2', 'functions belong to the table of versions and to the extension');
is($restored->('keeper', 'none'), 'no dump', 'the owner of the database cannot dump rows that they may not see');
is($restored->('keeper', 'theirs', '--enable-row-security'), 'restored', 'without them they can');
is($node->safe_psql('theirs', $functions), '0 2', 'restored functions belong to the extension');
is($node->safe_psql('theirs', q{SET search_path = models, public, ext; SET ROLE keeper; SELECT fm_attach('kept', 'ratings'); SELECT count(*) FROM fm_kept_top_x(1, 5)}),
	"\n5", 'the model serves, attached');
is($node->safe_psql('theirs', $functions), '2 2', 'with its functions taken over');
is($restored->('', 'all_of_it'), 'restored', 'a superuser dumps and restores all');
is($node->safe_psql('all_of_it', q{SET ROLE keeper; SELECT status FROM ext.fm_train('kept'); SELECT count(*) FROM models.fm_kept_top_x(1, 5)}),
	"succeeded\n5", 'the model is trained there');
is($node->safe_psql('all_of_it', $functions), '2 2', 'which takes its functions over');

is(as('keeper', q{SELECT ext.fm_drop('kept')}), '', 'they drop their model');
is(as('keeper', q{SELECT count(*) FROM pg_proc WHERE proname LIKE 'fm\\_kept%'}), '0', 'and its functions');
is(as('keeper', 'DROP EXTENSION fmtopx'), '', 'and they drop the extension');
is(as('keeper', 'DROP SCHEMA ext CASCADE; CREATE EXTENSION fmtopx; SELECT count(*) FROM fm_models'), '0', 'and install it again');

$node->stop;
done_testing();
