"""The report as one HTML file: figures, tables, the machine, and the raw data.

looks       colours and markers of engines; a report, looked up by workload
figures     the figures, and the picture of the README
page        puts it all into page.html.j2; style and drawing are `bertedge.html`'s
"""
