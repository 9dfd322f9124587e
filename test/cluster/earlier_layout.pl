# Models of the earlier layout, whose tables have the columns of one head only, as they were made before there were
# interest heads. All questions are answered, by sessions that find the tables so, and every operation works. The next
# version adds the columns, once, and leaves grants, publications and the versions before.
use strict;
use warnings;
use Test::More;
use FindBin;
use lib $FindBin::Bin;
use NeedCluster;

my ($node, $subscriber) = map {
	my $new = PostgreSQL::Test::Cluster->new($_);
	$new->init(allows_streaming => 'logical');
	$new->append_conf('postgresql.conf', "fsync = off\nautovacuum = off\nwal_retrieve_retry_interval = 100ms\n");
	$new->start;
	$new
} qw(earlier subscriber);

# The columns of the earlier layout.
my %columns = (
	version => q{version task num_factors b rating_min rating_max rating_mean score_variance users items stamp activation
		noise_variance user_mean user_root item_mean item_root unobserved_weight item_gram},
	user => 'version idx user_id w v digest',
	item => 'version idx item_id w v digest',
	level => 'version idx name side feature level mean w v');
my @tables = sort keys %columns;

$node->safe_psql(
	'postgres', q{
CREATE EXTENSION fmtopx;
CREATE ROLE reader LOGIN;
CREATE TABLE ratings AS
SELECT u AS user_id, i AS item_id, (3 + sin(u) + cos(i) + sin(u * 0.7) * cos(i * 1.3))::real AS rating, 'w' || (u + i) % 2 AS day
FROM generate_series(1, 100) u, generate_series(1, 60) i WHERE hashint8extended(u * 1000 + i, 1) % 3 = 0;
CREATE INDEX ON ratings (user_id);
GRANT SELECT ON ratings TO reader;
CREATE TABLE films AS SELECT item_id, item_id % 3 = 0 AS funny FROM generate_series(1, 62) item_id;
CREATE VIEW yes AS SELECT user_id, item_id, rating > 3 AS rating FROM ratings;
});
my %options = (
	plain => q{'ratings', rank_by => 'rating'},
	rich => q{'ratings', item_features => 'films', context_columns => '{day}', history => true, rank_by => 'rating'},
	labels => q{'yes', task => 'classification', rank_by => 'rating'},
	ranked => q{'ratings', task => 'ranking'});
my @models = sort keys %options;

# Give a model tables of the earlier layout: without the later columns, and with v and w alone in the matrix.
sub make_earlier
{
	my ($model) = @_;
	for my $table (@tables)
	{
		my $list = join ',', map { "'$_'" } split ' ', $columns{$table};
		$node->safe_psql('postgres', qq{DO \$\$ DECLARE name text; BEGIN
			FOR name IN SELECT attname FROM pg_attribute WHERE attrelid = to_regclass('fm_${model}_$table') AND attnum > 0 AND NOT attisdropped
				AND attname NOT IN ($list) LOOP EXECUTE format('ALTER TABLE fm_${model}_$table DROP %I', name); END LOOP; END \$\$});
	}
	$node->safe_psql('postgres', qq{UPDATE fm_${model}_matrix m SET matrix =
		(SELECT fm_matrix_agg(idx, v, w) FROM fm_${model}_item i WHERE i.version = m.version AND idx / 8192 = block)});
}

# What there is of a table, apart from rows.
sub columns_of
{
	my ($model, $table) = @_;
	return $node->safe_psql('postgres', qq{SELECT string_agg(attname, ' ' ORDER BY attnum) FROM pg_attribute
		WHERE attrelid = to_regclass('fm_${model}_$table') AND attnum > 0 AND NOT attisdropped});
}

sub around
{
	my ($model) = @_;
	return $node->safe_psql('postgres', qq{SELECT relname, relacl, (SELECT count(*) FROM pg_publication_rel WHERE prrelid = c.oid) FROM pg_class c
		WHERE relname LIKE 'fm_${model}_%' AND relkind = 'r' ORDER BY 1});
}

for my $model (@models)
{
	$node->safe_psql('postgres', qq{SELECT fm_train('$model', $options{$model}, num_factors => 4, iterations => 10); SELECT fm_grant('$model', 'reader')});
	make_earlier($model);
	is(columns_of($model, $_) || $columns{$_} =~ s/\s+/ /gr, $columns{$_} =~ s/\s+/ /gr, "$model: $_ has the earlier columns") for @tables;
}
$node->safe_psql('postgres', 'CREATE PUBLICATION models FOR TABLE ' . join(', ', map { my $m = $_; map { "fm_${m}_$_" } qw(version user item matrix) } @models));
$node->restart; # so that no version is in memory

# All that is asked of a model, beside v, w and b.
sub holds
{
	my ($sql, $what, $expected) = @_;
	is($node->safe_psql('postgres', $sql), $expected // 't', $what);
	return;
}

sub score_sql
{
	my ($model) = @_;
	return qq{(SELECT u.user_id, i.item_id, n.b + u.w + i.w + (SELECT sum(a::float8 * b) FROM unnest(u.v, i.v) t (a, b)) AS score
		FROM fm_models JOIN fm_${model}_version n ON n.version = active_version JOIN fm_${model}_user u USING (version) JOIN fm_${model}_item i USING (version)
		WHERE model = '$model')};
}

sub serves
{
	my ($model, $when) = @_;
	my $scores = score_sql($model);
	my $score = $model eq 'labels' ? "fm_predict(7, item_id, 'labels')" : 's.score';
	holds(qq{SELECT bool_and(abs(t.score - $score) < 1e-5), count(*) FROM $scores s JOIN fm_top_x(7, 100, '$model', false) t USING (item_id)
		WHERE user_id = 7}, "$model, $when: fm_top_x", 't|' . ($model eq 'rich' ? 62 : 60));
	holds(qq{SELECT array_agg(item_id ORDER BY rank) = (SELECT array_agg(item_id::bigint) FROM (SELECT item_id FROM $scores s WHERE user_id = 7
		AND NOT EXISTS (SELECT FROM ratings r WHERE r.user_id = 7 AND r.item_id = s.item_id) ORDER BY s.score DESC LIMIT 9) s) FROM fm_top_x(7, 9, '$model')},
		"$model, $when: its order, without items seen");
	holds(qq{SELECT bool_and((a.item_id, a.score) = (t.item_id::text, t.score)), count(*) FROM fm_top_x_all(5, '$model') a
		CROSS JOIN fm_top_x(a.user_id::bigint, 5, '$model') t WHERE a.rank = t.rank}, "$model, $when: fm_top_x_all", 't|500');
	holds(qq{SELECT bool_and(abs(sum - s.score) < 1e-5) FROM $scores s, (SELECT sum(contribution) FROM fm_explain(7, 11, '$model')) e
		WHERE user_id = 7 AND item_id = 11}, "$model, $when: fm_explain");
	holds(qq{SELECT count(*) FROM fm_similar_items(11, 5, '$model')}, "$model, $when: fm_similar_items", 5);
	holds(qq{SELECT bool_and(abs(t.score - s.score) < 1e-5), count(*) FROM $scores s JOIN fm_top_users(11, 5, '$model') t ON t.user_id = s.user_id::text WHERE s.item_id = 11},
		"$model, $when: fm_top_users", 't|5') if $node->safe_psql('postgres', q{SELECT to_regproc('fm_top_users') IS NOT NULL}) eq 't';
	holds(qq{SELECT bool_and(abs(dot - s.score + p.b + p.w) < 1e-5) FROM $scores s JOIN (SELECT n.b, u.w FROM fm_models JOIN fm_${model}_version n ON n.version = active_version
		JOIN fm_${model}_user u USING (version) WHERE model = '$model' AND user_id = 7) p ON true
		JOIN (SELECT i.id, (SELECT sum(x::float8 * y) FROM unnest(u.vector, i.vector) t (x, y)) AS dot FROM fm_user_vectors('$model') u, fm_item_vectors('$model') i WHERE u.id = '7') d
		ON d.id = s.item_id::text WHERE s.user_id = 7}, "$model, $when: vectors");
	holds(qq{SELECT count(*) > 3, bool_and(value IS NOT NULL) FROM fm_evaluate('ratings', '$model')}, "$model, $when: fm_evaluate", 't|t') unless $model eq 'labels';
	holds(qq{SELECT fm_write_top_x('lists_$model', 3, '$model'); SELECT count(*) FROM (SELECT user_id::text, rank::bigint, item_id::text FROM lists_$model
		EXCEPT SELECT user_id, rank, item_id FROM fm_top_x_all(3, '$model')) d}, "$model, $when: fm_write_top_x", "300\n0");
	my $basket = $model eq 'ranked' ? 'NULL' : $model eq 'labels' ? q{'{1, 0, 1}'} : q{'{5, 1, 4}'};
	holds(qq{SELECT count(*) FROM fm_top_x_for('{1, 2, 3}'::bigint[], $basket, 5, '$model')}, "$model, $when: fm_top_x_for", 5);
	return;
}

serves($_, 'earlier') for @models;
holds(q{SELECT bool_and(abs(fm_predict(user_id, item_id, 'plain') - greatest(rating_min, least(rating_max, score))) < 1e-5) FROM } . score_sql('plain') . q{ s, fm_plain_version
	WHERE user_id < 9}, 'fm_predict is what the tables say');
holds(q{SELECT count(*) FROM fm_top_x(7, 5, 'rich', context => '{"day": "w1"}')}, 'lists in a context', 5);
is($node->safe_psql('postgres', q{SELECT count(*) FROM fm_top_x(7, 5, 'plain')}, extra_params => [ '-U', 'reader' ]), '5', 'others with a grant are served');

# A copy of the tables is attached.
$node->safe_psql('postgres', join '; ', map { "CREATE TABLE fm_copy_$_ (LIKE fm_plain_$_ INCLUDING ALL); INSERT INTO fm_copy_$_ SELECT * FROM fm_plain_$_" } qw(version user item matrix));
holds(q{SELECT fm_attach('copy', 'ratings'); SELECT string_agg(t::text, ' ') = (SELECT string_agg(t::text, ' ') FROM fm_top_x(9, 10, 'plain') t) FROM fm_top_x(9, 10, 'copy') t},
	'tables of the earlier layout are attached', "\nt");

# A dump is restored, and its models trained. So is one whose registry has the earlier columns, too.
my %registry = (
	fm_model => q{model version_table user_table item_table matrix_table level_table active_version stamp ratings user_column item_column rating_column
		weight_column context_columns user_features item_features task solver num_factors iterations l2_reg_w l2_reg_v unobserved_weight init_stdev history
		test_size seed workers keep_versions max_worse attached},
	fm_run => q{model version stamp status started_at finished_at task solver num_factors iterations users items features ratings skipped train_metrics
		test_metrics message},
	fm_target => 'model target x exclude_seen',
	fm_trial => q{model trial key started_at finished_at task solver num_factors l2_reg_w l2_reg_v unobserved_weight validation_size time_column metric value
		metrics users items ratings message});

# Leave only the earlier columns in what a dump holds of the registry.
sub earlier_registry
{
	my ($from, $to) = @_;
	my @kept;
	open(my $in, '<', $from) or die "$from: $!";
	open(my $out, '>', $to) or die "$to: $!";
	while (my $line = <$in>)
	{
		if ($line =~ /^COPY public\.(\w+) \((.*)\) FROM stdin;$/ && $registry{$1})
		{
			my ($table, @columns) = ($1, split /, /, $2);
			my %earlier = map { $_ => 1 } split ' ', $registry{$table};
			@kept = grep { $earlier{$columns[$_]} } 0 .. $#columns;
			is(scalar(@kept), scalar(keys %earlier), "a dump has all earlier columns of $table");
			$line = "COPY public.$table (" . join(', ', @columns[@kept]) . ") FROM stdin;\n";
		}
		elsif ($line eq "\\.\n") { @kept = () }
		elsif (@kept)
		{
			chomp $line;
			$line = join("\t", (split /\t/, $line, -1)[@kept]) . "\n";
		}
		print $out $line;
	}
	close($out) or die "$to: $!";
	return;
}

my $dump = $node->basedir . '/earlier.sql';
PostgreSQL::Test::Utils::system_or_bail('pg_dump', '-f', $dump, $node->connstr('postgres'));
earlier_registry($dump, "$dump.registry");
my $all = q{SELECT md5(string_agg(t::text, ' ' ORDER BY m, t.user_id, t.rank)) FROM unnest('{plain,rich,labels,ranked}'::text[]) m, fm_top_x_all(7, m) t;
	SELECT md5(string_agg(to_jsonb(t)::text, ' ' ORDER BY model)) FROM fm_models t; SELECT md5(string_agg(t::text, ' ' ORDER BY model)) FROM fm_runs t;
	SELECT count(*) FROM fm_target};
my $lists = $node->safe_psql('postgres', $all);
for my $how ([ restored => $dump ], [ earlier => "$dump.registry" ])
{
	my ($database, $file) = @$how;
	$node->safe_psql('postgres', "CREATE DATABASE $database");
	PostgreSQL::Test::Utils::system_or_bail('psql', '-Xq', '-v', 'ON_ERROR_STOP=1', '-o', '/dev/null', '-f', $file, $node->connstr($database));
	my $restored = $node->safe_psql($database, $all);
	is($database eq 'restored' ? $restored : (split /\n/, $restored)[0], $database eq 'restored' ? $lists : (split /\n/, $lists)[0], "$database: the same lists");
	for my $model (@models)
	{
		is($node->safe_psql($database, qq{SELECT (SELECT status FROM fm_train('$model')), (SELECT count(*) FROM fm_top_x(7, 5, '$model'))}), 'succeeded|5',
			"$database, $model: trained again");
	}
}

# A database that the tables are replicated to.
my $schema = $node->basedir . '/schema.sql';
PostgreSQL::Test::Utils::system_or_bail('pg_dump', '-s', '-O', '-x', (map { ('-t', "fm_plain_$_") } qw(version user item matrix)), '-f', $schema, $node->connstr('postgres'));
$subscriber->safe_psql('postgres', 'CREATE EXTENSION fmtopx');
PostgreSQL::Test::Utils::system_or_bail('psql', '-Xq', '-v', 'ON_ERROR_STOP=1', '-o', '/dev/null', '-f', $schema, $subscriber->connstr('postgres'));
$node->safe_psql('postgres', 'CREATE PUBLICATION plain FOR TABLE ' . join(', ', map { "fm_plain_$_" } qw(version user item matrix)));
$subscriber->safe_psql('postgres', q{CREATE SUBSCRIPTION plain CONNECTION '} . $node->connstr . q{ dbname=postgres' PUBLICATION plain; SELECT fm_attach('plain', NULL)});
$subscriber->wait_for_subscription_sync($node, 'plain');
my $replicated = q{SELECT md5(string_agg(t::text, ' ' ORDER BY t.user_id, t.rank)) FROM fm_top_x_all(7, 'plain', exclude_seen => false) t};
is($subscriber->safe_psql('postgres', $replicated), $node->safe_psql('postgres', $replicated), 'a subscriber serves the earlier layout');

my %around = map { $_ => around($_) } @models;

# The columns are there after the next version, from whatever operation, with everything else as it was. The version
# before is served again.
my %first = map { $_ => $node->safe_psql('postgres', "SELECT string_agg(t::text, ' ') FROM fm_top_x(9, 10, '$_') t") } @models;
my %next = (plain => q{SELECT 1 FROM fm_fold_in('plain')}, rich => q{CALL fm_refresh('rich')}, labels => q{CALL fm_refresh('labels')}, ranked => q{SELECT 1 FROM fm_train('ranked')});
$node->safe_psql('postgres', q{INSERT INTO ratings VALUES (1000, 5, 4, 'w1'), (1000, 6, 2, 'w1'), (1000, 7, 5, 'w0')});
for my $model (@models)
{
	$node->safe_psql('postgres', $next{$model});
	holds(qq{SELECT active_version, users FROM fm_models WHERE model = '$model'}, "$model: the next version", '2|101');
	is(around($model), $around{$model}, "$model: grants and publications stay");
	like(columns_of($model, 'version'), qr/ interest_factors .* has_popularity/, "$model: the version table has the columns");
	like(columns_of($model, 'user'), qr/ interest_w interest_v$/, "$model: the user table, too");
	like(columns_of($model, 'item'), qr/ interest_w interest_v popularity$/, "$model: and the item table");
	my @then = map { columns_of($model, $_) } @tables;
	$node->safe_psql('postgres', qq{SELECT fm_activate('$model', 1)});
	is($node->safe_psql('postgres', "SELECT string_agg(t::text, ' ') FROM fm_top_x(9, 10, '$model') t"), $first{$model}, "$model: the version before is served again");
	serves($model, 'the version before');
	$node->safe_psql('postgres', qq{SELECT fm_activate('$model', 2)});
	holds(qq{SELECT count(*) FROM fm_top_x(9, 5, '$model')}, "$model: and then the next", 5);
	$node->safe_psql('postgres', $_) for qq{CALL fm_refresh('$model')}, q{INSERT INTO ratings VALUES (1001, 5, 4, 'w1'), (1001, 6, 2, 'w1')}, qq{SELECT fm_fold_in('$model')},
	  q{DELETE FROM ratings WHERE user_id = 1001};
	is_deeply([ map { columns_of($model, $_) } @tables ], \@then, "$model: columns are added once");
	holds(qq{SELECT count(*), max(active_version) FROM fm_top_x(1001, 5, '$model'), fm_models WHERE model = '$model'}, "$model: and so on", '5|4');
}

# The subscription goes on when the columns are added there, too.
$subscriber->wait_for_log(qr/logical replication target relation "public.fm_plain_\w+" is missing replicated columns?: .*interest/);
is($subscriber->safe_psql('postgres', 'SELECT active_version FROM fm_models'), '1', 'the subscriber waits for the columns');
$subscriber->safe_psql('postgres', $node->safe_psql('postgres', q{
	SELECT format('ALTER TABLE %s ADD COLUMN IF NOT EXISTS %I %s;', attrelid::regclass, attname, format_type(atttypid, atttypmod))
	FROM fm_models m, pg_attribute WHERE m.model = 'plain' AND attrelid IN (m.version_table, m.user_table, m.item_table)
	AND attnum > 0 AND NOT attisdropped AND NOT attnotnull}));
$node->wait_for_catchup('plain');
is($subscriber->safe_psql('postgres', "$replicated; SELECT active_version FROM fm_models"), $node->safe_psql('postgres', $replicated) . "\n4", 'then it follows');
$_->stop for $subscriber, $node;
done_testing();
