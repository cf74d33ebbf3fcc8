"""Arrays and tables in, Plotly figures out.

Nothing else of thalweg is imported here, so that a picture can be drawn from anybody's numbers. The looks
(a fixed colour, dash and marker for each optimizer, dark and light) are in `style`; each other file is one picture.
"""
