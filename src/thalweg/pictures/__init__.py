"""Arrays and tables in, Plotly figures out.

Nothing else of thalweg is imported here, so that a picture can be drawn from any numbers. `style` fixes a colour, dash
and marker for each optimizer, `marks` and `layout` are what all pictures are made of, `still` draws without a browser;
each other file is one picture.
"""
