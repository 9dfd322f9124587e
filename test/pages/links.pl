# The documentation can be found one's way in: no dead link or anchor, a short README, long pages with contents that
# match their headings, an index that leads to every page, and a map of the sources that is complete.
use strict;
use warnings;
use Test::More;
use File::Basename;
use File::Spec;
use FindBin;
use lib $FindBin::Bin;
use Pages qw(all_markdown pages read_page);

use constant README_LINES => 300;
use constant LINES_WITHOUT_CONTENTS => 100;

my %pages = map { $_ => read_page($_) } all_markdown();

# The file and the anchor that a link leads to; nothing for one that leads out of the repository.
sub destination
{
	my ($from, $target) = @_;
	return if $target =~ /^\w+:/;
	my ($file, $anchor) = $target =~ /^([^#]*)(?:#(.*))?$/;
	return ($from, $anchor) if $file eq '';
	my @parts;
	for my $part (File::Spec->splitdir(dirname($from) . "/$file"))
	{
		next if $part eq '.' || $part eq '';
		$part eq '..' && @parts ? pop @parts : push @parts, $part;
	}
	return (join('/', @parts), $anchor);
}

sub dead_links
{
	my ($page) = @_;
	my @dead;
	for my $link (@{ $page->{links} })
	{
		my ($file, $anchor) = destination($page->{path}, $link->{target}) or next;
		next if -e $file && !defined $anchor;
		next if $pages{$file} && grep { $_->{anchor} eq $anchor } @{ $pages{$file}{headings} };
		push @dead, "line $link->{line}: $link->{target}";
	}
	return @dead;
}

# The contents that a page should have: its headings of the second and third level, but for the heading of the contents.
sub expected_contents
{
	my ($page) = @_;
	my @lines;
	for my $heading (grep { $_->{level} =~ /[23]/ && $_->{text} ne 'Contents' } @{ $page->{headings} })
	{
		push @lines, ($heading->{level} == 3 ? '  ' : '') . "- [$heading->{text}](#$heading->{anchor})\n";
	}
	return join '', @lines;
}

for my $path (sort keys %pages)
{
	my @dead = dead_links($pages{$path});
	is("@dead", '', "$path has no dead link");
}

cmp_ok($pages{'README.md'}{lines}, '<=', README_LINES, 'README.md is short');

for my $path (pages())
{
	my $page = $pages{$path};
	my ($contents) = grep { $_->{text} eq 'Contents' } @{ $page->{headings} };
	next if !$contents && $page->{lines} <= LINES_WITHOUT_CONTENTS;
	ok($contents, "$path has contents") or diag("They are:\n## Contents\n\n" . expected_contents($page));
	is($contents->{body}, expected_contents($page), "the contents of $path are its headings") if $contents;
}

my %indexed = map { $_ => 1 } map { (destination('docs/README.md', $_->{target}))[0] // () }
  @{ $pages{'docs/README.md'}{links} };
ok($indexed{$_}, "docs/README.md leads to $_") for grep { $_ ne 'docs/README.md' } pages();

# The files, functions, types and macros that the pages for developers name exist, and the map names every source file.
my $map = 'docs/development/README.md';
my %words;
for my $path (glob 'src/*.[ch] src/*/*.[ch] src/core/*/*.[ch] sql/fmtopx--*.sql')
{
	open(my $file, '<', $path) or die "$path: $!";
	while (my $line = <$file>) { $words{$_} = 1 for $line =~ /\w+/g }
}
$words{$_} = 1 for map { "fm_movies_$_" } qw(version user item matrix level);
for my $path (grep { m{^docs/development/} } pages())
{
	open(my $file, '<:encoding(UTF-8)', $path) or die "$path: $!";
	my $text = do { local $/; <$file> };
	my @missing;
	for my $named ($text =~ m{`((?:\w+/)+[\w.*-]+\.\w+)`}g)
	{
		push @missing, $named if !grep { -e } glob("src/$named $named");
	}
	for my $code ($text =~ /`([^`\n]+)`/g)
	{
		push @missing, grep { !$words{$_} } $code =~ /\b((?:fm_|Fm|FM_)\w{2,})\b/g;
	}
	is("@missing", '', "$path names what exists");
	next if $path ne $map;
	my @unnamed = grep { index($text, '`' . s{^src/}{}r . '`') < 0 } glob 'src/*.c src/*/*.c src/core/*/*.c';
	is("@unnamed", '', "$path names every source file");
}
done_testing();
