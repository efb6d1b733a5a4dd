"""The look of a tear sheet: light, dark and on paper, nothing loaded from elsewhere."""

LIGHT = """--ground:#f6f8fa;--card:#fff;--ink:#172033;--pale:#5b6b80;--line:#e2e8f0;--link:#1d4ed8;--curve:#1d4ed8;
--other:#8593a6;--gain:#0f8a5f;--loss:#c9304f;--alarm:#b45309;--alarm-ground:#fff4e5;
--g1:#e7f5ef;--g2:#cdebdf;--g3:#a5dac5;--g4:#74c3a3;--g5:#45aa84;--l1:#fdeef0;--l2:#fad7dd;--l3:#f4b3be;--l4:#eb8a9b;--l5:#df6079"""
DARK = """--ground:#0f151d;--card:#161e29;--ink:#e5eaf1;--pale:#9aa8ba;--line:#2a3544;--link:#8ab4ff;--curve:#7aa7ff;
--other:#7d8a9c;--gain:#3ecf9a;--loss:#ff7389;--alarm:#ffb454;--alarm-ground:#33240f;
--g1:#17302b;--g2:#1a3e35;--g3:#1d5040;--g4:#20664f;--g5:#248060;--l1:#321d26;--l2:#45202c;--l3:#5e2535;--l4:#7a2b40;--l5:#97324b"""

STYLE = (
    f":root{{color-scheme:light dark;{LIGHT}}}"
    f"@media screen and (prefers-color-scheme:dark){{:root{{{DARK}}}}}"
    """
*{box-sizing:border-box}
body{margin:0;background:var(--ground);color:var(--ink);
font:14px/1.45 system-ui,-apple-system,"Segoe UI",Roboto,"Noto Sans",sans-serif}
main{max-width:72.5rem;margin:0 auto;padding:1.75rem 1.5rem 3rem}
header{display:flex;flex-wrap:wrap;align-items:center;gap:.25rem .9rem;margin-bottom:1.1rem;
padding-bottom:.9rem;border-bottom:3px solid var(--curve)}
header div{flex:1 1 20rem}
h1{font-size:1.6rem;line-height:1.2;margin:0;letter-spacing:-.01em;overflow-wrap:anywhere}
h2{font-size:1rem;margin:0 0 .6rem}
h3{font-size:.75rem;font-weight:600;letter-spacing:.06em;text-transform:uppercase;color:var(--pale);
margin:0 0 .35rem}
p,.note{color:var(--pale);margin:.15rem 0 0}
.badge{background:var(--alarm-ground);color:var(--alarm);border:1.5px solid;border-radius:.3rem;padding:.15rem .7rem;
font-weight:700;letter-spacing:.05em}
section,.cards>div{background:var(--card);border:1px solid var(--line);border-radius:.5rem;padding:1rem 1.15rem;
margin:0 0 1rem;min-width:0}
.cards{display:grid;grid-template-columns:repeat(6,1fr);gap:.75rem;margin-bottom:1rem}
.cards>div{margin:0;padding:.7rem .9rem}
.cards b{display:block;font-size:1.4rem;line-height:1.25;font-variant-numeric:tabular-nums;white-space:nowrap}
.cards span{color:var(--pale);font-size:.8rem;display:block}
.gain{color:var(--gain)}.loss{color:var(--loss)}
.pair{display:grid;grid-template-columns:1fr 1fr;gap:0 1rem}
.columns{display:grid;grid-template-columns:repeat(3,1fr);gap:1.1rem 2rem}
svg{display:block;width:100%;height:auto}
table{border-collapse:collapse;width:100%;font-variant-numeric:tabular-nums}
th{text-align:left;font-weight:500}
thead th{color:var(--pale);font-size:.8rem;border-bottom:1px solid var(--line);white-space:nowrap}
th,td{padding:.18rem .4rem}th:first-child,td:first-child{padding-left:0}th:last-child,td:last-child{padding-right:0}
.number{text-align:right;white-space:nowrap}
.figures tbody tr+tr>*,.list tbody tr+tr>*{border-top:1px solid var(--line)}
.figures tbody th{color:var(--pale)}.figures td.number:nth-child(2){font-weight:600}.figures td.held{color:var(--pale)}
.months{table-layout:fixed}.months td{padding:.28rem .2rem;text-align:center;border:2px solid var(--card);border-radius:4px}
.months th{text-align:center;padding:.2rem;border:0}
.months tbody th{font-weight:600;text-align:left}.months col.year{width:3.4rem}
.months col.total{width:5.2rem}.months td.total{font-weight:700}
.g1{background:var(--g1)}.g2{background:var(--g2)}.g3{background:var(--g3)}.g4{background:var(--g4)}.g5{background:var(--g5)}
.l1{background:var(--l1)}.l2{background:var(--l2)}.l3{background:var(--l3)}.l4{background:var(--l4)}.l5{background:var(--l5)}
.scroll{overflow-x:auto}.list{font-size:.86rem}.list td,.list th{white-space:nowrap}
dl{display:grid;grid-template-columns:max-content 1fr;gap:.2rem 1rem;margin:0}
dt{color:var(--pale)}dd{margin:0;overflow-wrap:anywhere}.hash dd{font:.82rem/1.5 ui-monospace,monospace}
a{color:var(--link)}ul{margin:.2rem 0 0;padding-left:1.1rem}footer{color:var(--pale);font-size:.82rem}
.scroll:focus-visible{outline:2px solid var(--link);outline-offset:2px}
@media(max-width:60rem){.cards{grid-template-columns:repeat(3,1fr)}.columns{grid-template-columns:1fr 1fr}
.pair{grid-template-columns:1fr}.wide{overflow-x:auto}.wide svg{min-width:44rem}.months{min-width:44rem}}
@media(max-width:36rem){.cards{grid-template-columns:1fr 1fr}.columns{grid-template-columns:1fr}main{padding:1rem .75rem 2rem}}
@page{size:A4;margin:11mm}
@media print{:root{"""
    f"{LIGHT};--ground:#fff"
    """}html{font-size:11px}body{font-size:10px}main{padding:0;max-width:none}*{-webkit-print-color-adjust:exact;print-color-adjust:exact}
section,.cards>div{break-inside:avoid;padding:.6rem .75rem}section.long{break-inside:auto}.scroll,.wide{overflow:visible}
.cards{grid-template-columns:repeat(6,1fr)}.columns{grid-template-columns:repeat(3,1fr)}.pair{grid-template-columns:1fr 1fr}
.list{font-size:.82rem}thead{display:table-header-group}tr{break-inside:avoid}}
"""
)
