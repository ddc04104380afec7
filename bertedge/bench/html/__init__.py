"""The report as one HTML file: figures, tables, the machine, and the raw data.

view        a report, looked up by engine and workload; colours and markers
drawing     layers of a figure, names that do not overlap, SVG
charts      the figures, and the picture of the README
page        puts it all into page.html.j2, style.css and script.js
"""
