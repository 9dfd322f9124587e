#!/usr/bin/perl
# Check how long lines and files are, and how many sources a folder of src/ holds.
#
# A line has at most 100 columns in C and 110 in SQL, shell and prose. Tests may keep a row of data or a query on
# one line, and some lines of Markdown cannot be wrapped: rows of tables, headings, and entries of a table of
# contents. These are not checked. A tab goes to the next multiple of four.
use strict;
use warnings;
use FindBin;
use File::Find;

chdir("$FindBin::Bin/..") or die "cannot enter the tree: $!";
my $complaints = 0;

sub complain
{
	print @_, "\n";
	$complaints++;
	return;
}

# Return how many columns a file may have, or 0 if that is not checked.
sub width
{
	my $path = shift;
	return 100 if $path =~ /\.[ch]$/;
	return 0 if $path =~ m{^(?:expected|test|sql/(?!fmtopx--))};
	return $path =~ /\.(?:sql|md|sh)$/ ? 110 : 0;
}

my (@paths, %sources);
find(
	{
		wanted => sub {
			$File::Find::prune = 1 if m{^\./(?:\.git|build|results)$};
			push @paths, substr($_, 2) if -f && /\.(?:[ch]|sql|md|sh|pl|pm|py)$/;
		},
		no_chdir => 1
	},
	'.');

for my $path (sort @paths)
{
	my $width = width($path);
	open(my $file, '<:encoding(UTF-8)', $path) or die "$path: $!";
	while (my $line = <$file>)
	{
		chomp $line;
		1 while $line =~ s/^([^\t]*)\t/$1 . ' ' x (4 - length($1) % 4)/e;
		next if !$width || length($line) <= $width || ($path =~ /\.md$/ && $line =~ /^\s*\||^#|^\s*- \[.*\)$/);
		complain("$path:$.: ", length($line), " columns, more than $width");
	}
	complain("$path: $. lines, more than 700") if $. > 700 && $path =~ /\.(?:[ch]|pl|pm|sh|py)$/;
	$sources{$1}++ if $path =~ m{^(src/.*)/[^/]*\.c$};
}
for my $folder (sort keys %sources)
{
	next if $folder eq 'src/core/train';
	complain("$folder: $sources{$folder} sources, more than 15") if $sources{$folder} > 15;
}
exit($complaints > 0);
