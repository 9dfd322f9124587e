# The headings of docs/troubleshooting.md below "Messages of fmtopx" are messages that the sources still have, with
# examples in the place of their parameters.
use strict;
use warnings;
use Test::More;
use FindBin;
use lib $FindBin::Bin;
use Pages qw(read_page);

use constant PAGE => 'docs/troubleshooting.md';
use constant SECTION => 'Messages of fmtopx';

# A message with fewer letters of its own could be anything.
use constant LETTERS => 10;

# The string of each errmsg(), and both of each errmsg_plural(), as patterns, with something in the place of each
# parameter.
sub patterns
{
	my @patterns;
	for my $path (glob 'src/*.c src/*/*.c src/core/*/*.c')
	{
		open(my $file, '<', $path) or die "$path: $!";
		my $source = do { local $/; <$file> };
		my $string = qr/(?:"(?:[^"\\]|\\.)*"\s*)+/;
		my @texts = $source =~ /\berrmsg\w*\(\s*($string)/g;
		push @texts, $source =~ /\berrmsg_plural\(\s*$string,\s*($string)/g;
		for my $quoted (@texts)
		{
			my $text = join '', $quoted =~ /"((?:[^"\\]|\\.)*)"/g;
			$text =~ s/\\(.)/$1/g;
			my @literals = split /%(?!%)[-+ #0-9.*]*(?:ll|z|l)?[a-zA-Z]/, $text, -1;
			next if join('', @literals) =~ tr/a-z// < LETTERS;
			push @patterns, join '.+', map { quotemeta s/%%/%/gr } @literals;
		}
	}
	return @patterns;
}

my @patterns = patterns();
cmp_ok(scalar @patterns, '>', 50, 'the sources have messages');

my $inside;
my $headings = 0;
for my $heading (@{ read_page(PAGE)->{headings} })
{
	$inside = $heading->{text} eq SECTION if $heading->{level} == 2;
	next unless $inside && $heading->{level} == 3;
	$headings++;
	ok((grep { $heading->{text} =~ /^$_$/ } @patterns), "a message of the sources: $heading->{text}");
}
cmp_ok($headings, '>', 10, PAGE . ' has messages');
done_testing();
