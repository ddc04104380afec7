"""What the pages of `bench` and `report` share: each is one file that needs no network.

vega        layers of a figure, SVG
shades      colours on a light and on a dark page
files       our own files and a record, put into a page
style.css, script.js
"""
