# fm_report: what is on the page, for each kind of model; that nothing on it is markup but its own; that it stays small with
# many items and runs; and, where Chromium is installed, that a browser shows it well in both schemes on a phone and a desktop.
use strict;
use warnings;
use Test::More;
use FindBin;
use lib $FindBin::Bin;
use NeedCluster;

my $node = PostgreSQL::Test::Cluster->new('report');
$node->init;
$node->append_conf('postgresql.conf', "fsync = off\nautovacuum = off\n");
$node->start;
$node->safe_psql(
	'postgres', q{
CREATE EXTENSION fmtopx;
CREATE TABLE ratings AS
SELECT u AS user_id, i AS item_id, greatest(1, least(5, round(3 + sin(u) + cos(i) + 1.5 * sin(u * 0.7) * cos(i * 1.3))))::real AS rating
FROM generate_series(1, 150) u, generate_series(1, 90) i WHERE hashint8extended(u * 1000 + i, 1) % 4 = 0;
CREATE VIEW liked AS SELECT user_id, item_id, rating >= 4 AS rating FROM ratings;
CREATE TABLE shown (item_id int, title text COLLATE "C", name varchar(40), other text);
INSERT INTO shown SELECT i, CASE WHEN i % 3 = 0 THEN '<script>alert(' || i || ')</script>' ELSE 'Ünder "the" ' || i || ' & it''s' END, 'named ' || i, 'y'
FROM generate_series(1, 90) i;
CREATE ROLE reader LOGIN;
});

sub value { return $node->safe_psql('postgres', $_[0], extra_params => $_[1] // []) }

sub page
{
	my ($arguments, $role) = @_;
	return value("SELECT fm_report($arguments)", $role ? [ '-U', $role ] : []);
}

value(q{SELECT fm_train('<b>&"m"', 'ratings', num_factors => 6, iterations => 30, test_size => 0.2, rank_by => 'interest')}) for 1 .. 3;
value(q{SELECT fm_train('c', 'liked', task => 'classification', num_factors => 4, iterations => 40)});
value(q{SELECT fm_train('r', 'ratings', task => 'ranking', test_size => 0.2)});

my @parts = ('Metrics beside baselines', 'What is recommended', 'Map of the items', 'Examples of lists', 'Similar items', 'Recent runs');
my @of_ratings = ('Calibration', 'Residuals', 'Ratings and predictions');
my $name = q{'<b>&"m"'};
my $page = page("$name, 'shown'");
like($page, qr/^<!DOCTYPE html>.*<\/html>$/s, 'a page');
like($page, qr{<h2>\Q$_\E</h2>}, "it has: $_")
  for @parts, @of_ratings, 'Trainings so far', 'Learning curve: rating head', 'Learning curve: interest head';
unlike($page, qr/Left out/, 'no section has failed');
like($page, qr{<h1>&lt;b&gt;&amp;&quot;m&quot;</h1>}, 'the name is escaped');
like($page, qr{&lt;script&gt;alert\(\d+\)&lt;/script&gt;}, 'so are titles');
like($page, qr{Ünder &quot;the&quot; \d+ &amp; it&#39;s}, 'which may have any letters');
unlike($page, qr{<script|<b>&"|\bhref=|\bsrc=|\@import|url\(|https?:}i, 'no script, no markup of others, no resource from elsewhere');
is(() = $page =~ /<svg /g, 8, 'charts');
unlike($page, qr/\b(?:nan|inf)\b/i, 'all numbers are numbers');
like(page("$name, 'shown', title_column => 'name'"), qr/named \d+/, 'another column of titles');
like(page($name), qr{<td>\d+</td>}, 'without titles, ids');
is(() = page("$name, examples => 5") =~ /For user/g, 5, 'as many examples as asked for');
unlike(page("$name, examples => 0"), qr/Examples of lists/, 'or none');
my @same = map { page("$name, 'shown'") } 1, 2;
ok($same[0] eq $same[1], 'the same page again');

my $classified = page("'c'");
like($classified, qr{<h2>\Q$_\E</h2>}, "of a classification: $_") for @parts, @of_ratings;
like($classified, qr/No ratings were held out/, 'it says that nothing was held out');
unlike($classified, qr/Left out/, 'no section has failed');
my $ranked = page("'r'");
like($ranked, qr{<h2>\Q$_\E</h2>}, "of a ranking: $_") for @parts, 'Learning curve: ranking head';
like($ranked, qr/A ranking predicts no ratings/, 'it says why there are no residuals');
unlike($ranked, qr/Left out/, 'no section has failed');

# As somebody who may read the model alone.
value(qq{SELECT fm_grant($name, 'reader')});
my $read = page($name, 'reader');
like($read, qr/You may not read the ratings/, 'ratings are read with the privileges of the caller');
like($read, qr{<h2>Map of the items</h2>}, 'the rest is there');
isnt($node->psql('postgres', "SELECT fm_report($name, 'shown')", extra_params => [ '-U', 'reader' ]), 0, 'nor may others read titles');
isnt($node->psql('postgres', "SELECT fm_report('c')", extra_params => [ '-U', 'reader' ]), 0, 'or a model that is not theirs');
isnt($node->psql('postgres', "SELECT fm_report($name, 'shown', title_column => 'no')"), 0, 'a column that is not there is an error');

# An attached model, and one whose ratings have changed.
value(join '; ', map { "CREATE TABLE fm_copy_$_ (LIKE fm_c_$_ INCLUDING ALL); INSERT INTO fm_copy_$_ SELECT * FROM fm_c_$_" } qw(version user item matrix));
value(q{SELECT fm_attach('copy', NULL)});
my $attached = page(q{'copy'});
like($attached, qr/There are none: the model is trained elsewhere/, 'an attached model has no runs');
like($attached, qr/The model has no ratings relation/, 'and no ratings');
unlike($attached, qr/Left out/, 'no section has failed');
value(q{ALTER VIEW liked RENAME rating TO gone});
my $broken = page(q{'c'});
like($broken, qr{Left out</h2>\s*<p>column &quot;rating&quot;}, 'a section that fails says why');
like($broken, qr{<h2>Recent runs</h2>}, 'the others are there');

# Many items and runs. The bound on time is far above what it takes, for slow machines.
value(q{
CREATE TABLE many AS SELECT 1 + u % 3000 AS user_id, 1 + (u::bigint * 7919 + u / 3000 * 104729) % 30000 AS item_id, (1 + u % 5)::real AS rating
FROM generate_series(1, 120000) u;
CREATE TABLE names AS SELECT i AS item_id, 'A title of some length, as they are, ' || i AS title FROM generate_series(1, 30000) i;
ANALYZE;
SELECT fm_train('many', 'many', num_factors => 16, iterations => 60, test_size => 0.1, rank_by => 'interest');
INSERT INTO fm_run SELECT (jsonb_populate_record(r, jsonb_build_object('version', n, 'message', repeat('m', 150)))).* FROM fm_run r, generate_series(2, 200) n WHERE model = 'many';
INSERT INTO fm_run_curve SELECT (jsonb_populate_record(c, jsonb_build_object('version', n))).* FROM fm_run_curve c, generate_series(2, 200) n WHERE model = 'many'});
is(value(q{SELECT users || ' ' || items FROM fm_models WHERE model = 'many'}), '3000 30000', 'many items');
is(value(q{SET statement_timeout = '20s'; SELECT octet_length(fm_report('many', 'names')) BETWEEN 50000 AND 1000000}), 't', 'are less than a megabyte');

# In a browser.
my ($browser) = grep { -x } map { my $program = $_; map { "$_/$program" } split /:/, $ENV{PATH} } qw(chromium chromium-browser google-chrome);
my $check = <<'JS';
<script>
const problems = [];
addEventListener('error', e => problems.push('error: ' + e.message));
addEventListener('securitypolicyviolation', e => problems.push('blocked: ' + e.blockedURI));
function light(color) {
  const channels = color.match(/[\d.]+/g).slice(0, 3).map(c => c / 255).map(c => c <= 0.03928 ? c / 12.92 : ((c + 0.055) / 1.055) ** 2.4);
  return 0.2126 * channels[0] + 0.7152 * channels[1] + 0.0722 * channels[2];
}
function behind(element) {
  for (let e = element; e; e = e.parentElement) {
    const color = getComputedStyle(e).backgroundColor;
    if (color.startsWith('rgb(')) return color;
  }
  return 'rgb(255, 255, 255)';
}
addEventListener('load', () => {
  let texts = 0;
  if (document.documentElement.scrollWidth > innerWidth) problems.push('overflow: ' + document.documentElement.scrollWidth + ' in ' + innerWidth);
  for (const e of document.querySelectorAll('body, body *')) {
    if (![...e.childNodes].some(n => n.nodeType == 3 && n.data.trim()) || e.matches('script, title, pre')) continue;
    const style = getComputedStyle(e), text = light(e.closest('svg') ? style.fill : style.color), back = light(behind(e));
    const contrast = (Math.max(text, back) + 0.05) / (Math.min(text, back) + 0.05);
    texts++;
    if (contrast < 4.5) problems.push('contrast ' + contrast.toFixed(2) + ' of ' + e.textContent.slice(0, 30));
    if (e.closest('svg') && style.fontSize && e.getBoundingClientRect().height < 9) problems.push('small: ' + e.textContent.slice(0, 30));
  }
  for (const svg of document.querySelectorAll('svg')) {
    const frame = svg.getBoundingClientRect();
    for (const e of svg.querySelectorAll('text')) {
      const box = e.getBoundingClientRect();
      if (box.left < frame.left - 1 || box.right > frame.right + 1) problems.push('outside: ' + e.textContent);
    }
  }
  parent.document.querySelector('pre').textContent = 'width ' + innerWidth + ', texts ' + (texts > 100 ? 'many' : texts) + ', problems: ' + (problems.join('; ') || 'none');
});
</script>
JS

# Return what the check says of a page in a frame of some width.
sub look
{
	my ($html, $width) = @_;
	my $file = $node->basedir . '/look.html';
	$html =~ s/<head>/<head>$check/;
	$html =~ s/&/&amp;/g;
	$html =~ s/'/&#39;/g;
	open(my $out, '>:raw', $file) or die "$file: $!";
	print $out "<!DOCTYPE html><meta charset='utf-8'><pre>not looked at</pre><iframe style='border:0;width:${width}px;height:6000px' srcdoc='$html'></iframe>";
	close($out) or die "$file: $!";
	my ($said) = PostgreSQL::Test::Utils::run_command([ $browser, qw(--headless --no-sandbox --disable-gpu --window-size=1400,900 --virtual-time-budget=5000 --dump-dom),
			'--user-data-dir=' . $node->basedir . '/browser', "file://$file" ]);
	return $said =~ m{<pre>(.*?)</pre>}s ? $1 : "nothing: $said";
}

SKIP:
{
	skip 'Chromium is not installed', 12 if !$browser;
	for my $case ([ ratings => $page ], [ classification => $classified ], [ ranking => $ranked ])
	{
		my ($what, $html) = @$case;
		(my $dark = $html) =~ s/\@media\(prefers-color-scheme:dark\)/\@media all/ or die 'no dark scheme';
		for my $scheme ([ light => $html ], [ dark => $dark ])
		{
			is(look($scheme->[1], $_), "width $_, texts many, problems: none", "$what, $scheme->[0], $_ pixels wide") for 390, 1280;
		}
	}
}

$node->stop;
done_testing();
