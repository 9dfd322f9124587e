# Hostile statements, one at a time, all of them determined by a seed: calls of every function with arguments of which
# some are right and some are anything but, reads of every view, changes of the models' tables and of what they were
# trained from, settings, cancels.
package Generator;
use strict;
use warnings;

sub new
{
	my ($class, $seed) = @_;
	return bless { state => 1 + $seed % 2147483646 }, $class;
}

# The minimal standard generator, so that a seed means the same everywhere.
sub below
{
	my ($self, $n) = @_;
	$self->{state} = $self->{state} * 48271 % 2147483647;
	return $self->{state} % $n;
}

sub one { my ($self, @of) = @_; return $of[ $self->below(scalar @of) ] }

sub chance { my ($self, $percent) = @_; return $self->below(100) < $percent }

#--------------------------------------------------------------------------------------------------------------------
# Values
#--------------------------------------------------------------------------------------------------------------------

my %model_ids = (words => 'text', uuids => 'text', rank => 'big', xid => 'text');
my @models = qw(als als mcmc yes rank words uuids features features history parted view attached xid heads heads);
my @kinds = qw(version user item matrix level);
my @integers = (0, 1, 2, 3, 7, 100, -1, 'NULL', 2147483647, -2147483648, 1000000, 65536, 16777217);
my @bigs = (@integers, '9223372036854775807', '(-9223372036854775808)', 4294967296, '10000000000');
my @reals = ("'NaN'", "'Infinity'", "'-Infinity'", 0, "'-0'", '1e-45', '3e38', '-3e38', '1e-30', 'NULL', 1, -1, 0.5, 1e10);
my @doubles = (@reals, '1e308', '-1e308', '1e-320', '1e39');
my @texts = ('NULL', "''", q{E'\x01'}, "repeat('x', 70000)", q{'weird "quote'''}, q{U&'\00e9\4e2d'}, "'..'",
	"'pg_catalog.pg_class'", "'a.b.c.d'", "'nosuch'", "'NaN'", "'1'", "'-9223372036854775809'", "' 1 '", "'als'",
	"repeat('a', 63)", "repeat(chr(233), 40)", q{'"'}, "'%s%n%d'", q{E'a\nb'});
my @arrays = ("'{}'", "'{1,2,3}'", "'{{1,2},{3,4}}'", "'{NULL}'", "'{1,NULL,3}'", "'[0:2]={1,2,3}'", "'[5:5]={1}'", 'NULL', "'{1,1,1}'",
	"'{-1}'", "'{3,2,1,30,29,5}'", "'{{{{{{1}}}}}}'");
my @big_arrays = (@arrays, '(SELECT array_agg(g::bigint) FROM generate_series(1, 20000) g)', "array_fill(1::bigint, ARRAY[300, 300])",
	"'[2147483646:2147483646]={7}'", "'{9223372036854775807,-9223372036854775808}'", "array_fill(NULL::bigint, ARRAY[5])");
my @real_arrays = (@arrays, "'{NaN}'", "'{Infinity,1}'", "'{3e38,3e38,3e38}'", "'{1e-45}'", "array_fill(1::real, ARRAY[1024])",
	"array_fill(3e38::real, ARRAY[1025])", "array_fill(1::real, ARRAY[4])", "array_fill(1::real, ARRAY[5])",
	"array_fill(1::real, ARRAY[2, 2])", "array_fill(NULL::real, ARRAY[4])", "array_fill('NaN'::real, ARRAY[4])", "array_fill(3e38::real, ARRAY[4])");
my @jsons = ('NULL', "'{}'", "'[]'", "'1'", "'null'", q{'"x"'}, q{'{"device": "phone"}'}, q{'{"device": null, "mood": 3}'}, q{'{"mood": 1e400}'},
	q{'{"device": {"a": [1]}}'}, q{'{"": ""}'}, q{'{"nosuch": 1}'}, q{('{"device": "' || repeat('x', 100000) || '"}')::jsonb},
	q{'{"mood": true, "device": 5}'}, q{('{"mood":' || repeat('[', 1000) || repeat(']', 1000) || '}')::jsonb});
my @booleans = qw(true false true false NULL);
my @relations = qw(ratings crowd yes big_ids words uuids ratings_view ratings_matview ratings_unfilled ratings_parted ratings_part0 ratings_parent
	ratings_child ratings_foreign ratings_rls ratings_generated ratings_nan ratings_huge ratings_double ratings_near ratings_null ratings_empty
	ratings_one ratings_nothing ratings_unlogged ratings_dropped ratings_domain ratings_odd ratings_long ratings_xid ratings_error
	ratings_random stranger_ratings temp_ratings);
my @features = qw(people films wide_features other_features ratings ratings_nothing ratings_view people films);
my @odd_relations = ('NULL', '0', '4294967295', "'pg_class'", "'pg_catalog.pg_stats'", "'ratings_user_id_idx'", "'fm_als_user'", "'fm_model'",
	"'fm_models'", "'pair'", "'lists_als'", "'fm_als_matrix'", "'fm_als_version_pkey'", "'pg_toast.pg_toast_1255'", "'a_sequence'", 16384);
my @targets = qw(lists_als lists_mcmc lists_yes lists_rank lists_words lists_features lists_history lists_heads lists_bare lists_more lists_less lists_least lists_rated
	lists_parted lists_rule lists_trigger lists_cancel lists_fk lists_check lists_generated lists_twice stranger_lists temp_lists
	lists_new1 lists_new2 ratings ratings_view ratings_foreign fm_als_user fm_model matrices pg_class a_sequence "lists""odd" nowhere.lists);

sub model
{
	my ($self) = @_;
	return $self->{model} = $self->one(@models);
}

# The value of an argument of some kind; mostly a right one.
sub value
{
	my ($self, $kind) = @_;
	my $right = $self->chance(88);
	my $ids = $model_ids{ $self->{model} // 'als' } // 'int';
	if ($kind eq 'model') { return $right ? "'$self->{model}'" : $self->one(@texts, "'als'", "'words'") }
	if ($kind eq 'user')
	{
		return $self->one(@bigs) if !$right && $ids ne 'text';
		return $self->one(@texts) if !$right;
		my $n = 1 + $self->below(65);
		return $ids eq 'big' ? $n * 10000000000 : $ids eq 'int' ? $n : $self->{model} eq 'words' ? "'user $n'" : $self->{model} eq 'uuids' ? "md5('u$n')" : "'$n'";
	}
	if ($kind eq 'item')
	{
		return $self->one(@bigs) if !$right && $ids ne 'text';
		return $self->one(@texts) if !$right;
		my $n = 1 + $self->below(33);
		return $ids eq 'big' ? "(-7 * $n)" : $ids eq 'int' ? $n : $self->{model} eq 'words' ? "'item $n'" : $self->{model} eq 'uuids' ? "md5('i$n')" : "'$n'";
	}
	if ($kind eq 'items')
	{
		return $self->one(@big_arrays) if !$right;
		my @items = map { $self->value('item') } 1 .. $self->below(6);
		return 'ARRAY[' . join(',', @items) . ']::' . ($ids eq 'text' ? 'text' : 'bigint') . '[]';
	}
	if ($kind eq 'itemratings') { return $right ? 'ARRAY[' . join(',', map { $self->below(5) } 1 .. $self->below(6)) . ']::real[]' : $self->one(@real_arrays) }
	if ($kind eq 'x') { return $right ? $self->below(12) : $self->one(@integers) }
	if ($kind eq 'integer') { return $self->one(@integers) }
	if ($kind eq 'bool') { return $self->one(@booleans) }
	if ($kind eq 'json') { return $self->one(@jsons) }
	if ($kind eq 'real') { return $self->one(@reals) . '::real' }
	if ($kind eq 'novelty') { return $right ? $self->one(0, 0.1, -0.5, 'NULL') : $self->one(@doubles) . '::float8' }
	if ($kind eq 'double') { return $self->one(@doubles) . '::float8' }
	if ($kind eq 'share') { return $right ? $self->one(0, 0.1, 0.5, 0.01) : $self->one(@reals) . '::real' }
	if ($kind eq 'text') { return $self->one(@texts) }
	if ($kind eq 'column') { return $right ? $self->one("'user_id'", "'item_id'", "'rating'", "'weight'", "'rated_at'", "'spare'") : $self->one(@texts) . '::name' }
	if ($kind eq 'relation') { return $right ? "'" . $self->one(@relations) . "'" : $self->one(@odd_relations) }
	if ($kind eq 'features') { return $right ? "'" . $self->one(@features) . "'" : $self->one(@odd_relations) }
	if ($kind eq 'target') { return $right ? "'" . $self->one(@targets) . "'" : $self->one(@texts) }
	if ($kind eq 'table') { return $right ? "'fm_$self->{model}_" . $self->one(@kinds) . "'" : $self->one(@odd_relations) }
	if ($kind eq 'matrix')
	{
		return $self->one(
			'(SELECT m FROM matrices WHERE n = ' . (1 + $self->below(5)) . ')',
			"(SELECT matrix FROM fm_$self->{model}_matrix LIMIT 1)",
			'(SELECT fm_matrix_agg(g, ARRAY[g, ' . $self->one(@doubles) . ']::real[], ' . $self->one(@doubles) . ") FROM generate_series(1, 9) g)",
			q{'[[1,[1,2],0.5],[2,[3,4],1]]'}, q{'[[1,[1,2],0.5],[1,[3,4],1]]'}, q{'[]'}, q{'[[1,[],0]]'}, q{'[[1,[1],NaN]]'}, q{'[[9223372036854775807,[1],0]]'},
			q{'[[1,[3e38,3e38],3e38]]'}, q{'[[1,[1,2]'}, 'NULL');
	}
	if ($kind eq 'query') { return $right ? 'array_fill(' . $self->one(@reals) . '::real, ARRAY[' . (1 + $self->below(6)) . '])' : $self->one(@real_arrays) }
	die "no value of kind $kind";
}

# Arguments by name; each of the optional ones is there or not.
sub arguments
{
	my ($self, $positional, %named) = @_;
	my @list = map { $self->value($_) } @$positional;
	for my $name (sort keys %named)
	{
		push @list, "$name => " . $self->value($named{$name}) if $self->chance(30);
	}
	return join(', ', @list);
}

#--------------------------------------------------------------------------------------------------------------------
# Statements
#--------------------------------------------------------------------------------------------------------------------

# What a list must be like, whatever is asked: ranks from 1, scores descending, finite, no item twice.
sub checked
{
	my ($self, $call, $id) = @_;
	return "SELECT CASE WHEN bool_and(good) AND count(DISTINCT id) = count(*) THEN 'fine' WHEN count(*) = 0 THEN 'none' ELSE 'WRONG: ' || string_agg(line, '; ') END FROM (SELECT t.$id AS id,"
	  . " t::text AS line, rank = row_number() OVER (ORDER BY rank) AND score <> 'NaN' AND abs(score) < 'Infinity'"
	  . ($call =~ /^fm_top_x/ ? " AND coalesce(rating <> 'NaN' AND abs(rating) < 'Infinity', true)" : '')
	  . " AND score <= coalesce(lag(score) OVER (ORDER BY rank), score) AS good FROM $call t) s";
}

my @questions = (
	sub { my $g = shift; $g->checked('fm_top_x(' . $g->arguments([ 'user', 'x', 'model' ], exclude_seen => 'bool', candidates => 'items', exclude => 'items', context => 'json', novelty => 'novelty') . ')', 'item_id') },
	sub { my $g = shift; $g->checked('fm_top_x(' . $g->arguments([ 'user', 'x', 'model' ]) . ')', 'item_id') },
	sub { my $g = shift; $g->checked('fm_top_x_for(' . $g->arguments([ 'items' ], ratings => 'itemratings', x => 'x', exclude_seen => 'bool', candidates => 'items', exclude => 'items', context => 'json', novelty => 'novelty')
		  . ", model => '$g->{model}')", 'item_id') },
	sub { my $g = shift; 'SELECT fm_predict(' . $g->arguments([ 'user', 'item', 'model' ], context => 'json') . ')' },
	sub { my $g = shift; 'SELECT * FROM fm_explain(' . $g->arguments([ 'user', 'item', 'model' ]) . ')' },
	sub { my $g = shift; $g->checked('fm_similar_items(' . $g->arguments([ 'item', 'x', 'model' ], candidates => 'items', exclude => 'items') . ')', 'item_id') },
	sub { my $g = shift; $g->checked('fm_top_users(' . $g->arguments([ 'item', 'x', 'model' ], candidates => 'items', exclude => 'items', exclude_seen => 'bool') . ')', 'user_id') },
	sub { my $g = shift; "SELECT CASE WHEN bool_and(score <> 'NaN' AND abs(score) < 'Infinity') THEN 'fine' WHEN count(*) = 0 THEN 'none' ELSE 'WRONG: ' || min(t::text) END FROM fm_top_x_all(" . $g->arguments([ 'x', 'model' ], exclude_seen => 'bool', users => 'relation', items => 'relation', context => 'json', novelty => 'novelty') . ') t' },
	sub { my $g = shift; 'SELECT count(*), sum(v) FROM fm_' . $g->one('user', 'item') . '_vectors(' . $g->value('model') . ') t, unnest(vector) v' },
	sub { my $g = shift; 'SELECT count(t) FROM fm_export_' . $g->one(qw(libfm jsonl npz)) . '(' . $g->value('model') . ') t' },
	sub { my $g = shift; 'SELECT * FROM fm_evaluate(' . $g->arguments([ 'relation', 'model' ], x => 'x') . ')' },
	sub { my $g = shift; "SELECT CASE WHEN bool_and(prediction <> 'NaN' AND abs(prediction) < 'Infinity') IS NOT FALSE THEN 'fine' ELSE 'WRONG: ' || min(t::text) END FROM fm_predictions("
		  . $g->arguments([ 'relation', 'model' ], rows => 'x') . ') t' },
	sub { my $g = shift; 'SELECT * FROM fm_' . $g->one('calibration', 'rating_distribution') . '(' . $g->arguments([ 'relation', 'model' ], bins => 'integer', rows => 'x') . ') LIMIT 20' },
	sub { my $g = shift; 'SELECT * FROM fm_popularity(' . $g->arguments([ 'model' ], x => 'x') . ')' },
	sub { my $g = shift; 'SELECT length(fm_report(' . $g->arguments([ 'model' ], titles => 'relation', title_column => 'column', id_column => 'column', ratings => 'relation', examples => 'x') . '))' },
	sub { my $g = shift; 'SELECT fm_served_version(' . $g->value('table') . ')' },
	sub { my $g = shift; 'SELECT fm_live_rows(' . $g->value('table') . ', ' . $g->one(q{'user_id'}, q{'v'}, q{''}) . ')' },
	sub { my $g = shift; 'SELECT fm_disk_size(ARRAY[' . $g->value('table') . ', NULL, ' . $g->value('table') . ']::regclass[])' },
	sub { my $g = shift; 'SELECT count(*), sum(length(t::text)) FROM ' . $g->one(qw(fm_models fm_runs fm_curve fm_metrics fm_trials fm_health fm_progress fm_cache fm_simd() fm_target fm_progress_rows() fm_cache_rows() fm_schedules fm_schedule_rows())) . ' t' },
	sub { my $g = shift; $g->checked('fm_matrix_top_x(' . $g->arguments([ 'matrix', 'query', 'x' ]) . ')', 'item_id') },
	sub { my $g = shift; 'SELECT ' . $g->one(qw(fm_matrix_items fm_matrix_factors fm_matrix_send fm_matrix_out)) . '(' . $g->value('matrix') . ')' },
	sub { my $g = shift; 'SELECT fm_matrix_agg(' . $g->one('g', 'g % 3', 'NULL', '-g') . ', ' . $g->value('query') . ', ' . $g->value('real') . ') IS NULL FROM generate_series(1, ' . $g->one(0, 1, 5, 100) . ') g' },
	sub { my $g = shift; 'SELECT ' . $g->one('fm_matrix_agg_combinefn(NULL, NULL)', 'fm_matrix_agg_finalfn(NULL)', 'fm_matrix_agg_transfn(NULL, 1, NULL, NULL)', "fm_matrix_agg_deserialfn('\\x00', NULL)",
		'fm_matrix_in(' . $g->value('text') . ')', 'fm_matrix_recv(NULL)', 'fm_top_x_support(NULL)') },
	sub { my $g = shift; 'SELECT fm_list_vector(' . join(', ', map { $g->value($_) } qw(query real query real double double)) . ')' },
	sub { my $g = shift; 'SELECT u, t.* FROM generate_series(1, 20) u, LATERAL fm_top_x(u' . ($g->chance(50) ? '::text' : '') . ', 3, ' . $g->value('model') . ') t LIMIT ' . $g->below(30) },
	sub { my $g = shift; "SELECT r.user_id, fm_predict(r.user_id::text, r.item_id::text, '$g->{model}') FROM ratings r LIMIT 50" },
);

sub question
{
	my ($self) = @_;
	return $self->one(@questions)->($self);
}

# The rows that a model's table of lists has and should not have, or should have and has not. It should have what
# fm_top_x_all returns under the same snapshot, except where the ratings are a view that is another at each reading
# (ratings_random, of which each reading has some of the pairs of ratings), and seen items are excluded. Then the table
# should have what some reading gives: the first items in the order of the lists that exclude nothing, of which none is
# passed over but those that the user has rated in ratings.
sub compared
{
	my ($self, $x, $seen) = @_;
	my $own = "lists_$self->{model}";
	my $model = "'$self->{model}'";
	return "WITH own AS MATERIALIZED (SELECT user_id::text, rank, item_id::text, score, rating FROM $own),"
	  . " again AS MATERIALIZED (SELECT * FROM fm_top_x_all($x, $model, $seen)),"
	  . " random AS (SELECT $seen AND EXISTS (SELECT FROM fm_models WHERE model = $model AND ratings::text LIKE '%ratings_random') AS yes),"
	  . " everything AS MATERIALIZED (SELECT user_id, rank AS place, item_id, score, rating FROM fm_top_x_all(1000, $model, false)),"
	  . " passed AS (SELECT user_id, place, item_id, o.score IS NULL AS over, count(o.score) OVER (PARTITION BY user_id ORDER BY place) AS before"
	  . " FROM everything LEFT JOIN own o USING (user_id, item_id)),"
	  . " differences AS ((SELECT * FROM ((TABLE own EXCEPT ALL TABLE again) UNION ALL (TABLE again EXCEPT ALL TABLE own)) d WHERE NOT (SELECT yes FROM random))"
	  . " UNION ALL (SELECT o.* FROM own o LEFT JOIN passed p USING (user_id, item_id) LEFT JOIN everything e USING (user_id, item_id)"
	  . " WHERE (SELECT yes FROM random) AND (p.before, e.score, e.rating, rank <= $x) IS DISTINCT FROM (rank::bigint, o.score, o.rating, true))"
	  . " UNION ALL (SELECT p.user_id, NULL, p.item_id, NULL, NULL FROM passed p WHERE (SELECT yes FROM random) AND over AND before < $x"
	  . " AND NOT EXISTS (SELECT FROM ratings_view r WHERE (r.user_id::text, r.item_id::text) = (p.user_id, p.item_id))))"
	  . " SELECT CASE WHEN count(*) = 0 THEN 'fine' ELSE 'WRONG: ' || min(d::text) END FROM differences d";
}

my @writings = (
	sub { my $g = shift; 'SELECT fm_write_top_x(' . $g->arguments([ 'target', 'x', 'model' ], exclude_seen => 'bool', users => 'relation', items => 'relation', context => 'json', novelty => 'novelty') . ')' },
	sub { my $g = shift; 'SELECT fm_write_similar_items(' . $g->arguments([ 'target', 'x', 'model' ], items => 'relation') . ')' },
	sub { my $g = shift; my ($x, $seen) = ($g->below(8), $g->one('true', 'false'));
		  "BEGIN ISOLATION LEVEL REPEATABLE READ;\nSELECT fm_write_top_x('lists_$g->{model}', $x, '$g->{model}', $seen);\n" . $g->compared($x, $seen) . ";\nCOMMIT;" },
	sub { my $g = shift; 'CALL fm_refresh(' . $g->arguments([ 'model' ], on_conflict => 'text') . ')' },
	sub { my $g = shift; "CALL fm_refresh('$g->{model}', '" . $g->one(qw(skip wait error)) . "')" },
	sub { my $g = shift; 'SELECT fm_schedule(' . $g->arguments([ 'model' ], schedule => 'text', on_conflict => 'text') . ')' },
	sub { my $g = shift; 'SELECT fm_unschedule(' . $g->value('model') . ')' },
	sub { my $g = shift; 'SELECT fm_fold_in(' . $g->value('model') . ')' },
	sub { my $g = shift; 'CALL fm_tune(' . $g->arguments([ 'model' ], validation_size => 'share', time_column => 'column', fresh => 'bool') . ', trials => ' . $g->one(1, 2, 0, -1) . ')' },
	sub { my $g = shift; 'SELECT fm_set(' . $g->arguments([ 'model' ], keep_versions => 'x', max_worse => 'real') . ')' },
	sub { my $g = shift; 'SELECT fm_activate(' . $g->value('model') . ', ' . $g->one(1, 1, 2, 2, 3, @integers) . ')' },
	sub { my $g = shift; 'SELECT fm_grant(' . $g->value('model') . ', ' . $g->one("'reader'", "'public'", "'nobody'", "''", 'NULL', "'owner'") . ')' },
	sub { my $g = shift; 'SELECT fm_forget_target(' . $g->one($g->value('target'), $g->value('table'), $g->value('relation')) . ')' },
	sub { my $g = shift; "SELECT fm_import_arrays('imported', " . $g->arguments([ 'table', 'table', 'relation' ], user_column => 'column', item_column => 'column', rating_column => 'column', vector_column => 'column', bias_column => 'column',
		  rating_min => 'real', rating_max => 'real', global_bias => 'real') . ', task => ' . $g->one("'regression'", "'classification'", "'ranking'") . ')' },
	sub { my $g = shift; "SELECT fm_import('imported', convert_to('#pairwise interactions Vj,f\n1 2\n3 4\n', 'UTF8'), " . $g->arguments([ 'table', 'table', 'relation' ], user_column => 'column', item_column => 'column', row_column => 'column') . ", ignore_others => true)" },
	sub { my $g = shift; 'SELECT fm_attach(' . $g->arguments([ 'model', 'relation' ], user_column => 'column', item_column => 'column', rating_column => 'column', version_table => 'table', user_table => 'table', item_table => 'table', matrix_table => 'table') . ')' },
	sub { my $g = shift; "SELECT fm_drop('attached'), fm_attach('attached', " . $g->value('relation') . ')' },
	sub { my $g = shift; "BEGIN;\nSELECT fm_drop(" . $g->value('model') . ");\n" . $g->question . ";\n" . ($g->chance(90) ? 'ROLLBACK' : 'COMMIT') . ';' },
);

# A training of a model that is there, or of one of its own.
sub training
{
	my ($self) = @_;
	my $call = 'SELECT status FROM fm_train(' . ($self->chance(60) ? "'$self->{model}'" : $self->one("'new1'", "'new2'", "'new1'", $self->value('text')));
	$call .= ', ' . $self->value('relation') if $self->chance(75);
	my %options = (user_column => 'column', item_column => 'column', rating_column => 'column', weight_column => 'column', user_features => 'features', item_features => 'features',
		l2_reg_w => 'real', l2_reg_v => 'real', unobserved_weight => 'real', init_stdev => 'real', history => 'bool', test_size => 'share', seed => 'integer', time_column => 'column');
	for my $name (sort keys %options)
	{
		$call .= ", $name => " . $self->value($options{$name}) if $self->chance(4);
	}
	$call .= ', context_columns => ' . $self->one("'{}'", "'{device}'", "'{device,mood}'", "'{NULL}'", "'{{a,b},{c,d}}'", "'{rating}'", "'{nosuch}'", "'{device,device}'") if $self->chance(6);
	$call .= ', task => ' . $self->one("'regression'", "'classification'", "'ranking'", $self->value('text')) if $self->chance(15);
	$call .= ', solver => ' . $self->one("'als'", "'mcmc'", "'ials'", $self->value('text')) if $self->chance(15);
	$call .= ', rank_by => ' . $self->one("'interest'", "'interest'", "'rating'", "'auto'", $self->value('text')) if $self->chance(30);
	$call .= ', num_factors => ' . ($self->chance(90) ? 1 + $self->below(9) : $self->one(@integers, 1024, 64));
	$call .= ', iterations => ' . ($self->chance(95) ? 1 + $self->below(4) : $self->one(@integers));
	$call .= ', workers => ' . ($self->chance(80) ? $self->below(3) : $self->one(@integers)) if $self->chance(30);
	return "$call)";
}

# What every column of the models' tables is set to, by its type.
my %columns = (
	version => { version => 'integer', task => 'task', num_factors => 'integer', b => 'double', rating_min => 'real', rating_max => 'real', rating_mean => 'double', score_variance => 'double',
		users => 'integer', items => 'integer', stamp => 'big', activation => 'big', noise_variance => 'double', user_mean => 'reals', user_root => 'reals', item_mean => 'reals', item_root => 'reals',
		unobserved_weight => 'double', item_gram => 'reals', interest_factors => 'integer', interest_b => 'double', interest_noise_variance => 'double', rating_share => 'double',
		mean_item_count => 'double', has_popularity => 'bool', strength_kind => 'integer', strength_center => 'double', strength_deviation => 'double', strength_unit => 'double',
		strength_scale => 'double', novelty_unit => 'double', novelty => 'double', interest_user_mean => 'reals', interest_user_root => 'reals', interest_item_mean => 'reals', interest_item_root => 'reals' },
	user => { version => 'integer', idx => 'integer', user_id => 'id', w => 'real', v => 'reals', digest => 'big', interest_w => 'real', interest_v => 'reals' },
	item => { version => 'integer', idx => 'integer', item_id => 'id', w => 'real', v => 'reals', digest => 'big', interest_w => 'real', interest_v => 'reals', popularity => 'real' },
	matrix => { version => 'integer', block => 'integer', matrix => 'matrix' },
	level => { version => 'integer', idx => 'integer', name => 'text', side => 'text', feature => 'text', level => 'text', mean => 'double', w => 'real', v => 'reals', interest_w => 'real', interest_v => 'reals' });
my @types = ('numeric', 'bigint', 'smallint', 'text', 'double precision', 'id', 'real', 'integer', 'real[]', 'double precision[]', 'jsonb', 'boolean', 'money', 'char(3)');

sub hostile_column_value
{
	my ($self, $type, $column) = @_;
	return $self->one(@booleans, "NOT $column") if $type eq 'bool';
	return $self->one(@integers, "$column + 1", "$column * 1000", "-$column", "$column % 3") if $type eq 'integer';
	return $self->one(@bigs, "$column + 1") if $type eq 'big';
	return $self->one(@reals) if $type eq 'real';
	return $self->one(@doubles) if $type eq 'double';
	return $self->one(@real_arrays, "$column || 1::real", "$column\[2:3]", "$column\[1:1]", "$column || $column", "array_cat($column, NULL)", "ARRAY[$column, $column]", "array_replace($column, $column\[1], NULL)") if $type eq 'reals';
	return $self->one("'ranking'", "'regression'", "'classification'", "''", "'nosuch'") if $type eq 'task';
	return $self->one(@texts, "'user'", "'item'", "'context'", "$column || 'x'") if $type eq 'text';
	return $self->one("$column", "(ARRAY(SELECT max($column) FROM ONLY pg_class LIMIT 0))[1]", 5, "'5'") if $type eq 'id';
	return $self->value('matrix');
}

# One change of a table of the model; mostly its other version is activated, since what is in the cache would be asked
# otherwise.
sub tampering
{
	my ($self) = @_;
	my $change = $self->tampering_itself;
	return $change if !$self->chance(65);
	return "$change;\nSELECT fm_activate('$self->{model}', (SELECT 3 - active_version FROM fm_models WHERE model = '$self->{model}'))";
}

sub tampering_itself
{
	my ($self) = @_;
	my $kind = $self->one(@kinds, 'user', 'item', 'version', 'user');
	$kind = 'level' if $self->{model} eq 'features' && $self->chance(30);
	my $table = "fm_$self->{model}_$kind";
	my @names = sort keys %{ $columns{$kind} };
	my $column = $self->one(@names);
	my $some = $self->one('', ' WHERE random() < 0.1', ' WHERE ctid = (SELECT max(ctid) FROM ' . $table . ')', ' WHERE version = 1',
		$columns{$kind}{idx} ? (' WHERE idx = 0', ' WHERE idx % 5 = 2', ' WHERE idx > 20') : ());
	my $n = $self->below(100);
	return "UPDATE $table SET $column = " . $self->hostile_column_value($columns{$kind}{$column}, $column) . $some if $n < 60;
	return "DELETE FROM $table$some" if $n < 68;
	my $plain = "DO \$\$ DECLARE c record; BEGIN FOR c IN SELECT conname FROM pg_constraint WHERE conrelid = '$table'::regclass AND contype = 'p' LOOP EXECUTE 'ALTER TABLE $table DROP CONSTRAINT ' || quote_ident(c.conname); END LOOP; END \$\$;\n";
	return $plain . "INSERT INTO $table SELECT * FROM $table LIMIT " . $self->one(1, 3, 100) if $n < 76;
	return "ALTER TABLE $table DROP COLUMN $column CASCADE" if $n < 80;
	return "ALTER TABLE $table ALTER $column DROP NOT NULL;\nUPDATE $table SET $column = NULL$some" if $n < 85;
	return "ALTER TABLE $table RENAME $column TO " . $self->one(@names, 'other') if $n < 87;
	my $type = $self->one(@types);
	return $plain . "ALTER TABLE $table ALTER $column TYPE $type USING " . $self->one("$column\::text::$type", "$column\::$type", "NULL", "'{1,2}'") if $n < 95;
	return "ALTER TABLE $table ADD extra integer DEFAULT 5" if $n < 96;
	return "TRUNCATE $table" if $n < 97;
	return "DROP TABLE $table CASCADE" if $n < 98;
	return "ALTER TABLE $table RENAME TO moved;\nCREATE VIEW $table AS TABLE moved" if $n < 99;
	return "ALTER TABLE $table ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY";
}

# Tampering in a transaction that is taken back, with questions in it; each statement may fail by itself.
sub tampered
{
	my ($self) = @_;
	my @statements = ('BEGIN', map { $self->tampering } 1 .. 1 + $self->below(2));
	push @statements, $self->chance(75) ? $self->question : $self->one(@writings, sub { $_[0]->training })->($self) for 1 .. 2 + $self->below(4);
	return join("\n", '\set ON_ERROR_ROLLBACK on', (map { /;\s*\z/ ? $_ : "$_;" } grep { !/^(BEGIN ISO|CALL)/ } @statements), 'ROLLBACK;', '\set ON_ERROR_ROLLBACK off');
}

# The same to a model of its own, each statement by itself, so that what is kept between transactions meets it: lists
# written before, models in the cache.
sub victim
{
	my ($self) = @_;
	my $name = $self->{model} = 'victim' . (1 + $self->below(3));
	my $from = $self->one('ratings', 'crowd', 'ratings_parted', 'crowd', 'ratings_view', 'ratings_dropped');
	my $write = "SELECT fm_write_top_x('lists_$name', " . (1 + $self->below(5)) . ", '$name')";
	my @statements = ("SELECT fm_drop('$name')", 'DROP TABLE IF EXISTS ' . join(', ', map { "fm_${name}_$_" } @kinds) . ' CASCADE',
		'SET min_parallel_table_scan_size = ' . $self->one('0', "'8MB'"),
		"SELECT status FROM fm_train('$name', '$from', num_factors => " . (1 + $self->below(5)) . ", iterations => 2, solver => '" . $self->one('als', 'mcmc')
		  . "', history => " . $self->one('true', 'false', 'false')
		  . ($self->chance(20) ? ", item_features => 'films'" : '') . ($self->chance(50) ? ", rank_by => 'interest'" : '') . ')', $write);
	push @statements, "SELECT status FROM fm_train('$name')" if $self->chance(70);
	push @statements, $write, 'SELECT txid_current()' if $self->chance(50);
	push @statements, map { $self->tampering } 1 .. 1 + $self->below(3);
	push @statements, $write, $write if $self->chance(70);
	push @statements, $self->chance(60) ? $self->question : $self->one(@writings, sub { $_[0]->training })->($self) for 1 .. 1 + $self->below(4);
	push @statements, 'RESET min_parallel_table_scan_size';
	return join("\n", map { /;\s*\z/ ? $_ : "$_;" } @statements);
}

my @changes = (
	sub { my $g = shift; 'INSERT INTO ratings SELECT ' . $g->one(1 + $g->below(80), 'NULL', 'user_id') . ', ' . $g->one(1 + $g->below(40), 'item_id', 'NULL') . ', ' . $g->one(3, "'NaN'", 5, 1, 'NULL', '3e38') . " FROM ratings LIMIT " . $g->one(1, 1, 5) },
	sub { my $g = shift; 'DELETE FROM ratings WHERE user_id = ' . $g->below(70) },
	sub { my $g = shift; 'UPDATE ratings SET item_id = item_id % 30 + 1 WHERE user_id % 10 = ' . $g->below(10) },
	sub { "DELETE FROM ratings WHERE rating IN ('NaN', 3e38) OR user_id IS NULL OR item_id IS NULL OR rating IS NULL" },
	sub { my $g = shift; 'UPDATE ' . $g->one(@targets) . ' SET score = score + 1, rank = ' . $g->one('rank', 'rank', 'NULL', '2147483647') . ' WHERE item_id % 3 = 0' },
	sub { my $g = shift; 'DELETE FROM ' . $g->one(@targets) . ' WHERE item_id % 3 = 0' },
	sub { my $g = shift; 'INSERT INTO ' . ($_ = $g->one(@targets)) . " SELECT * FROM $_ LIMIT 3" },
	sub { my $g = shift; 'VACUUM ' . $g->one('', 'FULL ', 'FREEZE ', 'ANALYZE ') . $g->one('ratings', 'lists_als', "fm_$g->{model}_user", "fm_$g->{model}_item") },
	sub { my $g = shift; 'ALTER TABLE ' . $g->one(@targets) . ' ' . $g->one('ADD more integer', 'DROP COLUMN more', 'DROP COLUMN score', 'ADD score real', 'ALTER item_id TYPE bigint', 'ALTER rank TYPE integer', 'ALTER user_id TYPE text', 'SET UNLOGGED', 'ALTER rank DROP NOT NULL', 'SET (fillfactor = 50)') },
	sub { my $g = shift; "BEGIN;\nALTER TABLE ratings " . $g->one('ADD more integer', 'DROP COLUMN rating', 'ALTER user_id TYPE bigint', 'ALTER item_id TYPE text', 'RENAME item_id TO other', 'RENAME TO others', 'ENABLE ROW LEVEL SECURITY', 'ALTER rating TYPE money USING 1::money') . ";\n" . join(";\n", map { $g->question } 1 .. 2) . ";\n" . $g->training . ";\nROLLBACK;" },
	sub { my $g = shift; 'REINDEX TABLE ' . $g->one('ratings', 'lists_als', "fm_$g->{model}_user") },
	sub { my $g = shift; 'CLUSTER fm_als_user USING fm_als_user_pkey' },
	sub { my $g = shift; 'DROP TABLE IF EXISTS ' . $g->one(qw(lists_new1 lists_new2 temp_lists lists_words)) . ' CASCADE' },
	sub { my $g = shift; "CREATE TEMP TABLE IF NOT EXISTS temp_ratings AS TABLE ratings_one;\nCREATE TEMP TABLE IF NOT EXISTS temp_lists (LIKE lists_bare)" },
	sub { my $g = shift; 'REVOKE SELECT ON ' . $g->one('ratings', "fm_$g->{model}_" . $g->one(@kinds)) . ' FROM reader' },
	sub { my $g = shift; "GRANT SELECT ON ratings, fm_$g->{model}_version, fm_$g->{model}_user, fm_$g->{model}_item, fm_$g->{model}_matrix TO reader" },
	sub { my $g = shift; 'ALTER TABLE ratings ' . $g->one('DISABLE', 'ENABLE') . ' ROW LEVEL SECURITY' },
	sub { my $g = shift; "BEGIN;\nTRUNCATE ratings;\n" . $g->question . ";\nSELECT fm_write_top_x('lists_als', 3, 'als');\nROLLBACK;" },
	sub { my $g = shift; "DROP INDEX IF EXISTS ratings_user_id_idx" },
	sub { my $g = shift; "CREATE INDEX IF NOT EXISTS ratings_user_id_idx ON ratings (user_id)" },
	sub { my $g = shift; 'REFRESH MATERIALIZED VIEW ratings_matview' },
);

my @settings = (
	sub { my $g = shift; 'SET fmtopx.simd = ' . $g->one("'auto'", "'plain'", "'avx2'", "'avx1024'", "''", "'auto'") },
	sub { my $g = shift; 'SET fmtopx.model = ' . $g->one("'als'", "'nosuch'", "''", "'words'") },
	sub { my $g = shift; 'SET fmtopx.training_memory = ' . $g->one("'1MB'", "'1GB'", "'64kB'", -1, 2147483647, "'2TB'") },
	sub { my $g = shift; 'SET fmtopx.cache_size = 0' },
	sub { my $g = shift; 'SET fmtopx.vacuum = ' . $g->one('on', 'off') },
	sub { my $g = shift; 'SET work_mem = ' . $g->one("'64kB'", "'4MB'") },
	sub { my $g = shift; 'SET min_parallel_table_scan_size = ' . $g->one('0', "'8MB'") },
	sub { my $g = shift; 'SET max_parallel_maintenance_workers = ' . $g->one(0, 1, 2) },
	sub { my $g = shift; "SET force_parallel_mode = on;\nSET parallel_setup_cost = 0;\nSET parallel_tuple_cost = 0" },
	sub { my $g = shift; "BEGIN READ ONLY;\n" . $g->one(@writings)->($g) . ";\n" . $g->question . ";\nROLLBACK;" },
	sub { my $g = shift; "BEGIN ISOLATION LEVEL SERIALIZABLE;\n" . $g->question . ";\n" . $g->one(@writings)->($g) . ";\nCOMMIT;" },
	sub { my $g = shift; "SET search_path = '';\n" . ($g->question =~ s/\bfm_(?=[a-z_]+\()/public.fm_/gr) . ";\nRESET search_path" },
	sub { my $g = shift; "SET row_security = off;\n" . $g->question . ";\nRESET row_security" },
	sub { my $g = shift; "SET datestyle = 'SQL, DMY';\nSET extra_float_digits = -15;\nSET intervalstyle = 'iso_8601';\nSET bytea_output = 'escape'" },
	sub { my $g = shift; "BEGIN;\nDECLARE c CURSOR FOR " . $g->question . ";\nFETCH 2 FROM c;\nSAVEPOINT s;\n" . $g->one(@writings)->($g) . ";\nROLLBACK TO s;\nFETCH ALL FROM c;\nCOMMIT;" },
	sub { my $g = shift; 'SET statement_timeout = ' . $g->one(1, 2, 5, 10) . ";\n" . $g->one(\&question, @writings, sub { $_[0]->training })->($g) . ";\nSET statement_timeout = \x{40}LIMIT\x{40}" },
	sub { my $g = shift; "DISCARD ALL;\n\x{40}HELLO\x{40}" },
	sub { my $g = shift; "RESET ALL;\n\x{40}HELLO\x{40}" },
	sub { my $g = shift; "PREPARE p AS " . $g->question . ";\nEXECUTE p;\nEXECUTE p;\nDEALLOCATE p" },
	sub { my $g = shift; 'COPY (' . $g->question . ') TO STDOUT' },
	sub { my $g = shift; 'EXPLAIN (ANALYZE, VERBOSE, COSTS off, TIMING off, SUMMARY off) ' . $g->question },
);

sub statement
{
	my ($self) = @_;
	$self->model;
	my $n = $self->below(1000);
	my $text =
		$n < 560 ? $self->question
	  : $n < 690 ? $self->one(@writings)->($self)
	  : $n < 760 ? $self->training
	  : $n < 850 ? $self->tampered
	  : $n < 852 ? $self->tampering
	  : $n < 880 ? $self->victim
	  : $n < 930 ? $self->one(@changes)->($self)
	  :            $self->one(@settings)->($self);
	return $text;
}

1;
