"""The look of an account's report, on top of that of all reports."""

STYLE = """
:root{--curve:#1d4ed8;--other:#8593a6;--gain:#0f8a5f;--loss:#c9304f;--track:#e9eef4;--low:#0f8a5f;--medium:#d08700;--high:#c9304f;
--none:#b8c4d2;--unknown:#7c5cbf}
@media(prefers-color-scheme:dark){:root{--curve:#7aa7ff;--other:#7d8a9c;--gain:#3ecf9a;--loss:#ff7389;--track:#232e3c;--low:#3ecf9a;
--medium:#ffb454;--high:#ff7389;--none:#48566a;--unknown:#a98bea}}
main{max-width:72rem}section>h2{margin-bottom:.6rem}
h3{font-size:.85rem;margin:.9rem 0 .3rem;color:var(--pale);font-weight:600}
.gain{color:var(--gain)}.loss{color:var(--loss)}
.notes{border-left:.4rem solid var(--alarm)}.notes ul{margin:0;padding-left:1.15rem}
.figures{display:grid;grid-template-columns:repeat(6,1fr);gap:.75rem;margin-bottom:1rem}
.figures .card{margin:0;padding:.8rem .95rem}.figures b{display:block;font-size:1.3rem;line-height:1.3;white-space:nowrap}
.figures b,.number{font-variant-numeric:tabular-nums}.figures span{color:var(--pale);font-size:.85rem}
.pair{display:grid;grid-template-columns:1fr 1fr;gap:0 1rem;align-items:start}.card .pair{gap:0 2.5rem}
svg{display:block;width:100%;height:auto}
.lines th{font-weight:400}.lines th,.lines td{padding:.24rem 0}.lines tr+tr>*{border-top:1px solid var(--line)}
.lines thead th{font-size:.85rem;border-bottom:1px solid var(--line)}.lines td{padding-left:.8rem;white-space:nowrap}
.lines .sum>*{font-weight:600;border-top:2px solid var(--pale)}.lines .below tr:first-child>*{padding-top:1rem}
small{color:var(--pale);font-weight:400}.why{font-size:.85rem;margin-top:.6rem}
.scroll{overflow-x:auto}.list th,.list td{padding:.3rem .9rem .3rem 0;white-space:nowrap}
.list th:last-child,.list td:last-child{padding-right:0}
.list tbody tr{border-top:1px solid var(--line)}.list thead th{font-size:.85rem}.list td:last-child{white-space:normal}
.share{display:flex;height:1rem;border-radius:.25rem;overflow:hidden;background:var(--track);margin:.2rem 0 .8rem}
.share i{display:block}
.levels i{display:inline-block;width:.7rem;height:.7rem;border-radius:.15rem;margin-right:.5rem}
i.none{background:var(--none)}i.low{background:var(--low)}i.medium{background:var(--medium)}i.high{background:var(--high)}
i.unknown{background:var(--unknown)}i.not_looked{background:var(--track);border:1px solid var(--line)}
@media(max-width:60rem){.figures{grid-template-columns:repeat(3,1fr)}.pair{grid-template-columns:1fr}
.wide{overflow-x:auto}.wide svg{min-width:44rem}}
@media(max-width:36rem){.figures{grid-template-columns:1fr 1fr}main{padding:1rem .75rem 2rem}}
"""
