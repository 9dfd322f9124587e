# The pages of the documentation, read: README.md and everything below docs/.
#
# What a page says to the tests:
#   <!-- run after: PAGE -->        its SQL runs in a copy of the database that PAGE (from the root), or an SQL file,
#                                   leaves behind
#   <!-- not run: reason -->        the ```sql or ```python block that follows is skipped
#   <!-- not compared: reason -->   the output that follows is not compared
# A ```text block that follows a ```sql or ```python block is the output of that block.
package Pages;
use strict;
use warnings;
use Exporter 'import';
use File::Find;
use Test::More ();

our @EXPORT_OK = qw(pages read_page all_markdown anchor);

# What a test shows of a page may hold any character.
binmode(Test::More->builder->$_, ':encoding(UTF-8)') for qw(output failure_output todo_output);

sub all_markdown
{
	my @found;
	find(
		{
			no_chdir => 1,
			wanted => sub {
				$File::Find::prune = 1 if m{^\./(build|results|\.git)$};
				push @found, s{^\./}{}r if /\.md$/;
			}
		},
		'.');
	return sort @found;
}

sub pages
{
	return grep { $_ eq 'README.md' || m{^docs/} } all_markdown();
}

# The anchor that GitHub gives a heading.
sub anchor
{
	my ($text) = @_;
	$text =~ s/\[([^]]*)\]\([^)]*\)/$1/g;
	$text = lc $text;
	$text =~ s/[^\w\- ]//g;
	$text =~ s/ /-/g;
	return $text;
}

sub read_page
{
	my ($path) = @_;
	my %page = (path => $path, headings => [], links => [], blocks => [], cells => [], after => undef);
	my ($fence, $skip, $uncompared, $last_run, %anchors);
	open(my $file, '<:encoding(UTF-8)', $path) or die "$path: $!";
	while (my $line = <$file>)
	{
		$page{lines} = $.;
		if (defined $fence)
		{
			if ($line =~ /^\s*```\s*$/)
			{
				$last_run = $fence->{kind} =~ /^(?:sql|python)$/ ? $fence : undef;
				$fence = undef;
				next;
			}
			$fence->{text} .= $line;
			$page{headings}[-1]{body} .= $line if @{ $page{headings} };
			$last_run->{output} .= $line if $fence->{kind} eq 'text' && $last_run;
			next;
		}
		if ($line =~ /^\s*```(\w*)\s*$/)
		{
			$fence = { kind => $1, line => $., text => '', skip => $skip };
			push @{ $page{blocks} }, $fence if $1 eq 'sql' || $1 eq 'python';
			if ($1 ne 'text')
			{
				$last_run = undef;
			}
			elsif ($last_run)
			{
				$last_run->{output} = '';
				$last_run->{uncompared} = $uncompared;
			}
			($skip, $uncompared) = ();
			next;
		}
		$page{after} = $1 if $line =~ /^<!-- run after: (\S+) -->$/;
		next unless $line =~ /\S/;
		if ($line =~ /^\s*<!-- not (run|compared): (.*) -->\s*$/)
		{
			$skip = $2 if $1 eq 'run';
			$uncompared = $2 if $1 eq 'compared';
			next;
		}
		($skip, $last_run) = ();
		if ($line =~ /^(#+) (.*?)\s*$/)
		{
			my $anchor = anchor($2);
			my $number = $anchors{$anchor}++;
			$anchor .= "-$number" if $number;
			push @{ $page{headings} }, { level => length $1, text => $2, anchor => $anchor, line => $., body => '' };
			next;
		}
		$page{headings}[-1]{body} .= $line if @{ $page{headings} };
		push @{ $page{cells} }, { text => $1, line => $. } if $line =~ /^\| (.*?) \|/;
		$line =~ s/`[^`]*`//g;
		push @{ $page{links} }, { target => $1, line => $. } while $line =~ /\]\(([^)\s]+)\)/g;
	}
	close($file);
	die "$path: the block at line $fence->{line} has no end" if $fence;
	return \%page;
}

1;
