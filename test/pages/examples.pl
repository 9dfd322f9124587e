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

# The shop: mails are of what interests the customer, never of what is sold out, and of several categories.
{
	my ($mails, $of_interest, $of_all, $sold_out, $most) = map { @$_ } last_rows('shop');
	is($mails, ask('shop', 'SELECT count(*) FROM subscribers'), 'every subscriber has a mail');
	cmp_ok($of_interest, '>=', 75, 'mails are of what interests the customer');
	cmp_ok($of_all, '<=', 35, '... more than the products are');
	is($sold_out, 0, 'nothing is sold out');
	is($most, 2, 'at most two products of a category');
	is(ask('shop', 'SELECT DISTINCT count(*) FROM mail GROUP BY customer_id'), 5, 'every mail has five products');
	is(ask('shop', 'SELECT count(*) FROM mailing JOIN products ON product_id = item_id WHERE stock = 0'), 0,
		'no list of the mailing has what is sold out');
	is(
		ask('shop', 'SELECT count(*) FROM related JOIN products ON product_id IN (item_id, similar_item_id) WHERE stock = 0'),
		0, 'nor has a page of a product');
	is(ask('shop', 'SELECT count(*) FROM mailing JOIN purchases ON customer_id = user_id AND product_id = item_id'),
		0, 'nothing is recommended that the customer has');
	cmp_ok(
		ask('shop', "SELECT count(*) FROM mail WHERE customer_id = 1001 AND category IN ('cycling', 'hiking')"),
		'>=', 2, 'a new customer is recommended what goes with the first purchases');
}

# The news: front pages are of what interests the reader now, of today, and unread. They have what came this morning.
{
	my ($on_front_pages, $of_today) = map { @$_ } last_rows('news');
	cmp_ok($on_front_pages, '>=', 85, 'front pages are of what interests the reader');
	cmp_ok($of_today, '<=', 25, '... more than the articles of the day are');
	is(ask('news', 'SELECT count(DISTINCT user_id) FROM front_pages'), 301, 'everybody has a front page');
	is(ask('news', 'SELECT count(*) FROM front_pages WHERE item_id NOT IN (SELECT article_id FROM today)'), 0, '... of today');
	is(ask('news', 'SELECT count(*) FROM front_pages JOIN visits ON reader_id = user_id AND article_id = item_id'),
		0, '... of what they have not read');
	cmp_ok(ask('news', 'SELECT count(*) FROM front_pages WHERE item_id = 221'),
		'>=', 10, 'what came after the training is on front pages');
}

done_testing();
