/*
 * The style sheet of a report: colours of both schemes, one column on a phone.
 */
#ifndef FMTOPX_STYLE_H
#define FMTOPX_STYLE_H

#define FM_REPORT_STYLE                                                                            \
	":root{color-scheme:light dark;--page:#f6f8fa;--card:#ffffff;--text:#1b1f24;"                  \
	"--quiet:#525c68;--line:#d0d7de;--grid:#e6e9ed;--s0:#0b62c4;--s1:#b85c00;--good:#116329;"      \
	"--bad:#a40e26}"                                                                               \
	"@media(prefers-color-scheme:dark){:root{--page:#0d1117;--card:#161b22;--text:#e6edf3;"        \
	"--quiet:#a2acb8;--line:#30363d;--grid:#262c34;--s0:#58a6ff;--s1:#f0a24e;--good:#56d364;"      \
	"--bad:#ff8b84}}*{box-sizing:border-box}"                                                      \
	"body{margin:0;background:var(--page);color:var(--text);"                                      \
	"font:15px/1.5 system-ui,-apple-system,'Segoe UI',Roboto,sans-serif}"                          \
	"header,main{max-width:1180px;margin:0 auto;padding:16px}header{padding-bottom:0}"             \
	"h1{margin:8px 0;font-size:26px;overflow-wrap:anywhere}h2{margin:0 0 8px;font-size:17px}"      \
	"dl{display:flex;flex-wrap:wrap;gap:8px 28px;margin:8px 0}dd{margin:0;font-weight:600}"        \
	"dt{color:var(--quiet);font-size:13px}main{display:flex;flex-wrap:wrap;gap:16px}"              \
	"section{background:var(--card);border:1px solid var(--line);border-radius:10px;"              \
	"padding:16px;min-width:0;flex:1 1 480px}section.wide{flex-basis:100%}"                        \
	"p{margin:8px 0 0;color:var(--quiet);font-size:14px;overflow-wrap:anywhere}"                   \
	"table{border-collapse:collapse;width:100%;font-size:14px}"                                    \
	"th{text-align:left;color:var(--quiet);font-weight:600}"                                       \
	"td,th{padding:4px 10px 4px 0;border-bottom:1px solid var(--grid);vertical-align:top}"         \
	".number{text-align:right;font-variant-numeric:tabular-nums;white-space:nowrap}"               \
	".word{white-space:nowrap}.message{min-width:160px;overflow-wrap:anywhere}"                    \
	".good{color:var(--good)}.bad{color:var(--bad)}.scroll{overflow-x:auto}"                       \
	".lists{display:grid;grid-template-columns:repeat(auto-fill,minmax(min(100%,300px),1fr));"     \
	"gap:20px}.list td{overflow-wrap:anywhere}"                                                    \
	"caption{text-align:left;padding-bottom:4px;overflow-wrap:anywhere}"                           \
	"svg{display:block;width:100%;max-width:560px;height:auto;margin:0 auto}"                      \
	".map svg{max-width:none}svg text{fill:var(--quiet);font-size:12.5px}"                         \
	"svg .legend{fill:var(--text)}.grid{stroke:var(--grid);fill:none}"                             \
	".axis{stroke:var(--quiet);fill:none}"                                                         \
	".diagonal{stroke:var(--quiet);stroke-dasharray:5 4;fill:none}.s0.line{stroke:var(--s0)}"      \
	".s1.line{stroke:var(--s1)}.line{fill:none;stroke-width:2;stroke-linejoin:round}"              \
	".s0.fill{fill:var(--s0)}.s1.fill{fill:var(--s1)}.map .fill{fill-opacity:.45}"                 \
	".map .name{fill:var(--text);font-size:12px;paint-order:stroke;stroke:var(--card);"            \
	"stroke-width:3px;stroke-linejoin:round}@media(max-width:760px){section{flex-basis:100%}"      \
	"main{padding:10px}section{padding:12px}.map{overflow-x:auto}.map svg{width:760px}}"

#endif
