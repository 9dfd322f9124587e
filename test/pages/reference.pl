# The reference is complete: every function, type, relation, setting and option of fm_train is on exactly one page of
# docs/reference, every function with its signature, every view and table with its columns, and no page names one that
# does not exist. Asked from the catalogue.
use strict;
use warnings;
use Test::More;
use FindBin;
use lib $FindBin::Bin;
use Pages qw(pages read_page);

my $DATABASE = 'pages_reference';
my @pages = map { read_page($_) } grep { m{^docs/reference/} } pages();
my %page = map { $_->{path} => $_ } @pages;

sub query
{
	my ($sql) = @_;
	open(my $psql, '-|', 'psql', '-XAtq', '-v', 'ON_ERROR_STOP=1', '-d', $DATABASE, '-c', $sql) or die $!;
	chomp(my @rows = <$psql>);
	close($psql) or die "query failed: $sql";
	return @rows;
}

# A page describes a name where a heading or the first cell of a table row is that name.
sub descriptions
{
	my ($name, @among) = @_;
	my @found;
	for my $page (@among)
	{
		push @found, map { "$page->{path}:$_->{line}" } grep { $_->{text} eq $name } @{ $page->{headings} };
		push @found, map { "$page->{path}:$_->{line}" } grep { $_->{text} eq "`$name`" } @{ $page->{cells} };
	}
	return @found;
}

sub described_once
{
	my ($kind, $name, @among) = @_;
	my @found = descriptions($name, @among);
	is(scalar @found, 1, "$kind $name is described once") or diag("described in: @found");
}

sub section
{
	my ($path, $name) = @_;
	my ($heading) = grep { $_->{text} eq $name } @{ $page{$path}{headings} };
	return $heading ? $heading->{body} : '';
}

sub squeeze
{
	my ($text) = @_;
	return $text =~ s/\s+/ /gr =~ s/TABLE \(/TABLE(/gr;
}

system('createdb', $DATABASE) == 0 or BAIL_OUT('no database');
query('CREATE EXTENSION fmtopx');

# Functions of a type, an aggregate, the planner or a view are the extension's own affair.
my @functions = query(<<'END');
WITH inner_ones AS (
    SELECT unnest(ARRAY[typinput, typoutput, typreceive, typsend]::oid[]) AS oid FROM pg_type
    UNION SELECT unnest(ARRAY[aggtransfn, aggfinalfn, aggcombinefn, aggserialfn, aggdeserialfn]::oid[]) FROM pg_aggregate
    UNION SELECT prosupport::oid FROM pg_proc
    UNION SELECT refobjid FROM pg_depend
          WHERE classid = 'pg_rewrite'::regclass AND refclassid = 'pg_proc'::regclass)
SELECT p.proname || '|' || p.proname || '('
       || regexp_replace(regexp_replace(pg_get_function_arguments(p.oid), '::[a-z ]+(\[\])?', '', 'g'), '\mIN ', '', 'g')
       || ')' || coalesce(' RETURNS ' || pg_get_function_result(p.oid), '')
FROM pg_proc p
JOIN pg_depend d ON d.classid = 'pg_proc'::regclass AND d.objid = p.oid AND d.deptype = 'e'
JOIN pg_extension e ON d.refclassid = 'pg_extension'::regclass AND d.refobjid = e.oid AND e.extname = 'fmtopx'
WHERE p.oid NOT IN (SELECT oid FROM inner_ones)
ORDER BY p.proname, p.oid
END
cmp_ok(scalar @functions, '>', 20, 'there are functions');
my %described;
for (@functions)
{
	my ($name, $signature) = split /\|/;
	described_once('function', $name, @pages) unless $described{$name}++;
	ok(index(squeeze(section('docs/reference/functions.md', $name)), squeeze($signature)) >= 0, "the signature of $name")
	  or diag("It is: $signature");
}

described_once('type', $_, @pages) for query(<<'END');
SELECT t.typname
FROM pg_type t JOIN pg_depend d ON d.classid = 'pg_type'::regclass AND d.objid = t.oid AND d.deptype = 'e'
JOIN pg_extension e ON d.refclassid = 'pg_extension'::regclass AND d.refobjid = e.oid AND e.extname = 'fmtopx'
WHERE t.typtype = 'b' AND t.typelem = 0
END

my @settings = query(<<'END');
DO $$BEGIN PERFORM fm_simd(); END$$;
SELECT name FROM pg_settings WHERE name LIKE 'fmtopx.%'
END
cmp_ok(scalar @settings, '>', 1, 'there are settings');
described_once('setting', $_, @pages) for @settings;

my @options = query("SELECT unnest(proargnames[1:pronargs]) FROM pg_proc WHERE proname = 'fm_train'");
cmp_ok(scalar @options, '>', 10, 'there are options');
described_once('option', $_, $page{'docs/reference/options.md'}) for @options;

# The columns of a relation, in the table of its section.
sub has_columns
{
	my ($path, $relation) = @_;
	my $section = section($path, $relation);
	for my $column (query("SELECT attname FROM pg_attribute WHERE attrelid = '$relation'::regclass AND attnum > 0"))
	{
		like($section, qr/^\|[^|]*`$column`[^|]*\|/m, "column $column of $relation is described");
	}
}

my @relations = query(<<'END');
SELECT c.relname || '|' || c.relkind::text
FROM pg_class c JOIN pg_depend d ON d.classid = 'pg_class'::regclass AND d.objid = c.oid AND d.deptype = 'e'
JOIN pg_extension e ON d.refclassid = 'pg_extension'::regclass AND d.refobjid = e.oid AND e.extname = 'fmtopx'
WHERE c.relkind IN ('r', 'v')
ORDER BY c.relname
END
cmp_ok(scalar @relations, '>', 5, 'there are views and tables');
for (@relations)
{
	my ($relation, $kind) = split /\|/;
	described_once('relation', $relation, @pages);
	has_columns('docs/reference/views.md', $relation) if $kind eq 'v' || $relation eq 'fm_target';
}

# The tables of a model with everything that makes one.
query(<<'END');
CREATE TABLE ratings AS
SELECT u AS user_id, i AS item_id, (u * i) % 5 AS rating FROM generate_series(1, 20) u, generate_series(1, 20) i;
CREATE TABLE features AS SELECT i AS item_id, i % 3 AS kind FROM generate_series(1, 20) i;
SELECT FROM fm_train('movies', ratings => 'ratings', item_features => 'features', iterations => 2);
END
for my $table (map { "fm_movies_$_" } qw(version user item matrix level))
{
	described_once('table', $table, @pages);
	has_columns('docs/reference/tables.md', $table);
}

# No page speaks of a function, view, table or setting that is not there. fm_<model>_<table> may have any model.
my %known = map { $_ => 1 } @settings, query(<<'END');
SELECT proname FROM pg_proc WHERE proname LIKE 'fm\_%'
UNION SELECT relname FROM pg_class WHERE relname LIKE 'fm\_%'
UNION SELECT typname FROM pg_type WHERE typname LIKE 'fm\_%'
END
for my $page (map { read_page($_) } grep { !m{^docs/development/} } pages())
{
	my $text = join('', map { $_->{body} } @{ $page->{headings} }) =~ s/\]\([^)]*\)//gr;
	my %names = map { $_ => 1 } $text =~ /(?<![\w\/.])(fm_[a-z_]*[a-z]|fmtopx\.[a-z_]+)\b/g;
	delete @names{ grep { $known{$_} || /^fm_\w+_(version|user|item|matrix|level)$/ || /^fmtopx\.(control|so)$/ } keys %names };
	my @unknown = sort keys %names;
	is("@unknown", '', "$page->{path} names nothing that is not there");
}
done_testing();
