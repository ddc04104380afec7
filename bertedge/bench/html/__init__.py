"""The report as one HTML file: figures, tables, the machine, and the raw data.

theme       colours for light and dark, and which engine has which
canvas      a matplotlib figure in, SVG that takes its colours from the page out
view        a report, looked up by engine and workload
speed       figures: latency by length and batch, its distribution, speed-ups
load        figure: latency against offered load
accuracy    figure: accuracy against latency
cost        figures: cold start, operators, sizes, memory
headline    the large figures at the top
tables      the same figures and more in numbers
page        puts it all into page.html, style.css and script.js
"""
