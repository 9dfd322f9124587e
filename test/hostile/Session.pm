# A connection that is asked without waiting for it: psql on a pipe. Statements are sent by ask(); done() tells whether
# the answer is complete, wait_for() waits for it. A connection that is gone is told from one that does not answer.
package Session;
use strict;
use warnings;
use IPC::Open2;
use IO::Select;
use Time::HiRes qw(time);

sub new
{
	my ($class, %options) = @_;
	my $self = bless { %options, number => 0, busy => 0, gone => 0, buffer => '' }, $class;
	$self->connect;
	return $self;
}

# Connect again, too.
sub connect
{
	my ($self) = @_;
	my @command = ('psql', '-XAt', '-d', $self->{connstr}, '-v', 'VERBOSITY=verbose', '-v', 'ECHO=errors');
	push @command, '-U', $self->{role} if $self->{role};

	# psql says errors on its own standard error: both are wanted in one stream
	my $command = join(' ', map { "'" . s/'/'\\''/gr . "'" } @command) . ' 2>&1';
	$self->{pid} = open2($self->{out}, $self->{in}, 'sh', '-c', "exec $command");
	$self->{select} = IO::Select->new($self->{out});
	($self->{buffer}, $self->{busy}, $self->{gone}) = ('', 0, 0);
	$self->run($self->{hello}) if $self->{hello};
	return;
}

# Send statements; psql says a line when it has done them.
sub ask
{
	my ($self, $sql) = @_;
	$self->{number}++;
	$self->{sql} = $sql;
	$self->{since} = time;
	$self->{busy} = 1;
	local $SIG{PIPE} = 'IGNORE';
	my $in = $self->{in};
	$sql .= ";" if $sql !~ /;\s*\z/ && $sql !~ /^\\[^\n]*\z/m;
	print $in "$sql\n\\echo =$self->{number}= :SQLSTATE\n";
	$in->flush or $self->{gone} = 1;
	return;
}

# Read what has come; true if the answer is complete or the connection gone.
sub done
{
	my ($self, $timeout) = @_;
	while ($self->{busy} && !$self->{gone})
	{
		if ($self->{buffer} =~ s/\A(.*?)^=$self->{number}= (\S*)\n//ms)
		{
			($self->{answer}, $self->{state}, $self->{busy}, $self->{took}) = ($1, $2, 0, time - $self->{since});
			last;
		}
		return 0 if !$self->{select}->can_read($timeout // 0);
		sysread($self->{out}, $self->{buffer}, 65536, length $self->{buffer}) or $self->{gone} = 1;
	}
	if ($self->{gone} && $self->{busy})
	{
		($self->{answer}, $self->{state}, $self->{busy}) = ($self->{buffer}, 'gone', 0);
	}
	return 1;
}

# Wait for the answer, for so many seconds at most; false if it has not come.
sub wait_for
{
	my ($self, $seconds) = @_;
	my $until = time + $seconds;
	while (!$self->done(1)) { return 0 if time > $until }
	return 1;
}

sub run
{
	my ($self, $sql, $seconds) = @_;
	$self->ask($sql);
	$self->wait_for($seconds // 120) or die "no answer to $sql\n";
	return $self->{answer};
}

sub quit
{
	my ($self) = @_;
	close $self->{in};
	close $self->{out};
	waitpid($self->{pid}, 0);
	return;
}

1;
