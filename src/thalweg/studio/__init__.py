"""Studio: a local web page to look at studies, race rules down surfaces, and read the formulas.

`lessons.py` and `catalogue.py` say what the page shows, `page/` is the page itself in plain JavaScript, `single.py`
puts its race into one file that needs no server.
"""
