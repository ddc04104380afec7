"""A model seen through a labelled file: where it is right, where it is wrong, and what to fix.

`report(named, examples, config)` returns the record; `render_page` makes one HTML file of it.

config          what is asked for
record          what is said
rows            one pass over the file
intervals       95 % intervals
slices          the rows cut; perturbations: texts changed
label_errors    labels that are likely wrong
run             all sections
text            for a terminal; page, figures, page.html.j2: for a browser
"""

from bertedge.report.config import Named, ReportConfig
from bertedge.report.record import Report
from bertedge.report.run import report

__all__ = ["Named", "Report", "ReportConfig", "report"]
