# The examples, demo/*.sql of docs/examples: each runs in an empty database and ends with rows that a person would want
# to see. What they make up is known, so a test can say what a good list is. test/pages/sql.pl runs their pages.
use strict;
use warnings;
use Test::More;

# Run an example; the rows of its last table.
sub last_rows
{
	my ($name) = @_;
	my $database = "example_$name";
	system('createdb', $database) == 0 or BAIL_OUT("no database $database");
	open(my $psql, '-|', "psql -X -q -P footer=off -d $database -f demo/$name.sql 2>&1") or die $!;
	my $output = do { local $/; <$psql> } // '';
	ok(close($psql), "demo/$name.sql runs") or diag($output);
	unlike($output, qr/ERROR|WARNING/, "demo/$name.sql has nothing to warn of");
	my ($table) = $output =~ /^[-+]+\n((?:.+\n)+)\s*\z/m;
	return map { [ map { s/^\s+|\s+$//gr } split /\|/ ] } split /\n/, $table // '';
}

sub ask
{
	my ($name, $sql) = @_;
	open(my $psql, '-|', 'psql', '-XqAt', '-d', "example_$name", '-c', $sql) or die $!;
	chomp(my $answer = do { local $/; <$psql> } // '');
	close($psql);
	return $answer;
}

# Films: most of what is recommended is of genres that the person was made to love, and nothing is that they have rated.
{
	my %loved = map { @$_ } last_rows('films');
	cmp_ok($loved{recommended}, '>=', 80, 'films of loved genres are recommended');
	cmp_ok($loved{'most popular'}, '<=', 40, '... more than are among the most popular');
	is(ask('films', 'SELECT count(*), count(DISTINCT user_id) FROM recommendations'), '4000|400', 'everybody has ten');
	is(ask('films', 'SELECT count(*) FROM recommendations JOIN ratings ON person_id = user_id AND film_id = item_id'),
		0, '... that they have not rated');
}

done_testing();
