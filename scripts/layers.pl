#!/usr/bin/perl
# Check that src/ keeps to its layers (scripts/layers.txt), and that neither includes nor calls go in a circle.
#
#   scripts/layers.pl [OBJECTS]
#
# OBJECTS is a folder with the objects of a build: OBJECTS/pg/sql.o comes from src/pg/sql.c. Who calls whom is what nm
# says of them: which object defines the symbol that another wants. Without OBJECTS only the includes are checked.
# A .c file and the header of the same name count as one file, except in a circle of includes: that is one of headers.
use strict;
use warnings;
use FindBin;
use File::Find;

chdir("$FindBin::Bin/..") or die "cannot enter the tree: $!";
my $objects = shift;
my $complaints = 0;

sub complain
{
	print @_, "\n";
	$complaints++;
	return;
}

# ---- The table ----

my (%level, @line);
open(my $table, '<', 'scripts/layers.txt') or die "scripts/layers.txt: $!";
while (my $line = <$table>)
{
	$line =~ s/#.*//;
	my @places = split(' ', $line) or next;
	push @line, "@places";
	$level{$_} = $#line for @places;
}

# Return the place of the table that a file (its path below src/, without its ending) belongs to.
sub place
{
	my $file = shift;
	return $file if exists $level{$file};
	my ($folder) = $file =~ m{^(.*)/} or return;
	return exists $level{$folder} ? $folder : undef;
}

# Complain if one file may not use another.
sub check_use
{
	my ($from, $to, $evidence) = @_;
	my ($above, $below) = (place($from), place($to));
	return if !defined $above || !defined $below || $above eq $below || $level{$above} < $level{$below};
	my $relation = $level{$above} == $level{$below} ? 'beside' : 'above';
	complain("$evidence, but $below is $relation $above");
	return;
}

# ---- Circles ----

# Complain of each circle in a graph: {from}{to} = what shows that edge. Of files that all reach each other (Tarjan's
# strongly connected components) one shortest circle is shown.
sub check_circles
{
	my ($kind, $graph) = @_;
	my ($count, %number, %low, @stack, %on_stack) = (0);
	my $visit;
	$visit = sub {
		my $file = shift;
		$number{$file} = $low{$file} = ++$count;
		push @stack, $file;
		$on_stack{$file} = 1;
		for my $next (sort keys %{ $graph->{$file} // {} })
		{
			$visit->($next) unless $number{$next};
			$low{$file} = $low{$next} if $on_stack{$next} && $low{$next} < $low{$file};
		}
		return if $low{$file} != $number{$file};
		my %members;
		while (defined(my $member = pop @stack))
		{
			delete $on_stack{$member};
			$members{$member} = 1;
			last if $member eq $file;
		}
		show_circle($kind, $graph, \%members) if keys %members > 1;
		return;
	};
	for my $file (sort keys %$graph)
	{
		$visit->($file) unless $number{$file};
	}
	return;
}

# Print a shortest circle among files that all reach each other.
sub show_circle
{
	my ($kind, $graph, $members) = @_;
	my @best;
	for my $start (sort keys %$members)
	{
		my (%before, @queue) = ();
		@queue = ($start);
		while (defined(my $file = shift @queue))
		{
			for my $next (grep { $members->{$_} } sort keys %{ $graph->{$file} // {} })
			{
				next if exists $before{$next};
				$before{$next} = $file;
				push @queue, $next if $next ne $start;
			}
			last if exists $before{$start};
		}
		my @circle = ($start);
		do { unshift @circle, $before{ $circle[0] } } while $circle[0] ne $start;
		@best = @circle if !@best || @circle < @best;
	}
	complain("a circle of $kind: ", join(' -> ', @best), ' (among: ', join(' ', sort keys %$members), ')');
	print "    $graph->{$best[$_]}{$best[$_ + 1]}\n" for 0 .. $#best - 1;
	return;
}

# ---- Includes ----

my (@sources, %includes);
find({ wanted => sub { push @sources, $_ if /\.[ch]$/ && -f }, no_chdir => 1 }, 'src');
for my $path (sort @sources)
{
	(my $from = $path) =~ s{^src/(.*)\.[ch]$}{$1};
	defined place($from) or complain("$path: belongs to no layer of scripts/layers.txt");
	open(my $file, '<', $path) or die "$path: $!";
	while (my $line = <$file>)
	{
		my ($header) = $line =~ /^\s*#\s*include\s+"([^"]+)"/ or next;
		unless (-f "src/$header")
		{
			complain("$path:$.: includes \"$header\", but the core knows nothing of PostgreSQL") if $from =~ m{^core/};
			next;
		}
		(my $to = $header) =~ s/\.[ch]$//;
		next if $to eq $from;
		check_use($from, $to, "$path:$.: includes \"$header\"");
		$includes{"$from.h"}{"$to.h"} //= "$path:$.: includes \"$header\"" if $path =~ /\.h$/;
	}
}
check_circles('includes', \%includes);

# ---- Calls ----

if (defined $objects)
{
	my (%defined_in, %wanted_by, @found);
	find({ wanted => sub { push @found, $_ if /\.o$/ && -f "src/" . substr($_, length($objects) + 1, -2) . ".c" },
		no_chdir => 1 }, $objects);
	@found or die "no objects in $objects";
	open(my $nm, '-|', 'nm', '-A', '-P', sort @found) or die "nm: $!";
	while (my $line = <$nm>)
	{
		my ($object, $symbol, $type) = $line =~ /^(.*)\.o: (\S+) (\S)/ or next;
		my $file = substr($object, length($objects) + 1);
		if ($type eq 'U')
		{
			$wanted_by{$symbol}{$file} = 1;
		}
		elsif ($type =~ /[A-TV-Z]/)
		{
			$defined_in{$symbol} = $file;
		}
	}
	close($nm) or die 'nm failed';

	my %calls;
	for my $symbol (sort keys %wanted_by)
	{
		my $to = $defined_in{$symbol} // next;
		for my $from (sort keys %{ $wanted_by{$symbol} })
		{
			next if $from eq $to || $symbol !~ /^fm_/; # others stand in for a library: LAPACK
			check_use($from, $to, "src/$from.c: calls $symbol of src/$to.c");
			$calls{$from}{$to} //= "src/$from.c: calls $symbol of src/$to.c";
		}
	}
	check_circles('calls', \%calls);
}
exit($complaints > 0);
