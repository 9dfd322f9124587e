# The documentation tells the truth: the SQL blocks of every page run, and give the output that the page shows.
#
# The blocks of a page run in order, in one session, in a database of the page's own. That of README.md begins empty;
# that of another page is a copy of what the page named in its <!-- run after: PAGE --> leaves behind. Pages.pm lists
# what else a page can say.
use strict;
use warnings;
use Test::More;
use File::Temp;
use FindBin;
use lib $FindBin::Bin;
use Pages qw(pages read_page);

my %pages = map { $_ => read_page($_) } pages();
my %databases;

sub squeeze
{
	my ($text) = @_;
	return join '', map { s/\s+$//r . "\n" } grep { /\S/ } split /\n/, $text;
}

# Run a page, after the page that it comes after; false if that cannot be.
sub run_page
{
	my ($path) = @_;
	return $databases{$path} if exists $databases{$path};
	$databases{$path} = undef;
	my $page = $pages{$path};
	my $template = 'template1';
	if ($path ne 'README.md')
	{
		my $after = $page->{after};
		ok($after && $pages{$after}, "$path says after which page it runs") or return;
		$template = run_page($after);
		ok($template, "$path can run after $after") or return;
	}
	my $database = lc $path =~ s/\.md$//r =~ s/\W+/_/gr;
	system('createdb', '-T', $template, $database) == 0 or BAIL_OUT("no database $database");

	# Before and after each block psql says so; the first error ends the session.
	my @blocks = @{ $page->{blocks} };
	my $script = File::Temp->new(SUFFIX => '.sql');
	binmode($script, ':encoding(UTF-8)');
	for my $number (grep { !defined $blocks[$_]{skip} } 0 .. $#blocks)
	{
		print $script "\\echo block $number begins\n$blocks[$number]{text}\n\\echo block $number ends\n";
	}
	close($script);
	open(my $psql, '-|:encoding(UTF-8)', "psql -X -q -v ON_ERROR_STOP=1 -d $database <$script 2>&1") or die $!;
	my $output = do { local $/; <$psql> } // '';
	close($psql);

	for my $number (0 .. $#blocks)
	{
		my ($block, $name) = ($blocks[$number], "the SQL block at line $blocks[$number]{line} of $path");
	  SKIP:
		{
			skip("$name: $block->{skip}", 1) if defined $block->{skip};
			my ($printed) = $output =~ /^block $number begins\n(.*?)^block $number ends$/ms;
			if (!ok(defined $printed, "$name runs"))
			{
				diag($output =~ /^block $number begins\n(.*)/ms ? $1 : 'another failed before it');
				last;
			}
			next if !defined $block->{output} || defined $block->{uncompared};
			is(squeeze($printed), squeeze($block->{output}), "$name gives the output shown");
		}
	}
	return $databases{$path} = $database;
}

run_page($_) for sort grep { @{ $pages{$_}{blocks} } } keys %pages;
done_testing();
